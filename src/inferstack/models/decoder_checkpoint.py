"""A decoder with its weights and tokenizer, out of a Hugging Face folder or a GGUF file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.ir.graph import Graph
from inferstack.models.architecture import Architecture
from inferstack.models.checkpoint_weights import CheckpointWeights
from inferstack.models.description import Description
from inferstack.models.gguf_file import is_gguf
from inferstack.models.gguf_model import GgufModel, open_model
from inferstack.models.gguf_tokenizer import gguf_tokenizer
from inferstack.models.hugging_face import CONFIG, architecture_in, config_content
from inferstack.models.scenario import Phase, Scenario
from inferstack.models.text_tokenizer import TextTokenizer, load_text_tokenizer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecoderCheckpoint:
    """graph: with weights."""

    name: str
    graph: Graph
    description: Description
    tokenizer: TextTokenizer


def load_decoder(place: Path | GgufModel, scenario: Scenario | None = None) -> DecoderCheckpoint:
    """The decoder in a Hugging Face folder or a GGUF file, for any pass; by default for one step of
    decoding behind one token. Raises CheckpointError, naming file and place."""
    scenario = scenario or Scenario.decode(1)
    if isinstance(place, GgufModel) or is_gguf(place):
        model = place if isinstance(place, GgufModel) else open_model(place)
        described = model.description
        tokenizer = gguf_tokenizer(model.file, described.vocabulary)
        weights = model.weights(straight=False)
        made = _built(
            model.file.path.stem, model.architecture, described, scenario, tokenizer, weights
        )
        weights.check_all_read()
        return made
    content = config_content(place)
    where = str(place / CONFIG)
    architecture, form = architecture_in(where, content)
    config = form.read_config(where, content) if Phase.DECODE in architecture.phases else None
    if not isinstance(config, Description) or config.head is None or config.crosses:
        raise CheckpointError(
            where, "is no model that continues a text", got=printable(str(content["model_type"])),
            need="a decoder with a head",
        )  # fmt: skip
    tokenizer = load_text_tokenizer(place, config.vocabulary)
    weights = CheckpointWeights.of_folder(place, form.names(config), content, straight=False)
    return _built(place.resolve().name, architecture, config, scenario, tokenizer, weights)


def _built(
    name: str,
    architecture: Architecture,
    config: Description,
    scenario: Scenario,
    tokenizer: TextTokenizer,
    weights: CheckpointWeights,
) -> DecoderCheckpoint:
    graph = architecture.build(name, config, scenario, weights, unrolled=True)
    weights.check_layers(config.depth)
    return DecoderCheckpoint(name=name, graph=graph, description=config, tokenizer=tokenizer)
