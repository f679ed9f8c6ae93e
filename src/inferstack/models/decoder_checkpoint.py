"""A decoder with its weights and tokenizer, out of a Hugging Face folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.ir.graph import Graph
from inferstack.models.checkpoint_weights import CheckpointWeights
from inferstack.models.description import Description
from inferstack.models.hugging_face import CONFIG, architecture_in, config_content
from inferstack.models.scenario import Phase, Scenario
from inferstack.models.text_tokenizer import TextTokenizer, load_text_tokenizer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecoderCheckpoint:
    """graph: of one step of decoding behind one token, with weights."""

    name: str
    graph: Graph
    description: Description
    tokenizer: TextTokenizer


def load_decoder(folder: Path) -> DecoderCheckpoint:
    """The decoder in `folder`. Raises CheckpointError, naming file and place."""
    content = config_content(folder)
    where = str(folder / CONFIG)
    architecture, form = architecture_in(where, content)
    config = form.read_config(where, content) if Phase.DECODE in architecture.phases else None
    if not isinstance(config, Description) or config.head is None or config.crosses:
        raise CheckpointError(
            where, "is no model that continues a text", got=printable(str(content["model_type"])),
            need="a decoder with a head",
        )  # fmt: skip
    name = folder.resolve().name
    tokenizer = load_text_tokenizer(folder, config.vocabulary)
    weights = CheckpointWeights(folder, form.names(config), straight=False)
    graph = architecture.build(name, config, Scenario.decode(1), weights, unrolled=True)
    weights.check_layers(config.depth)
    return DecoderCheckpoint(name=name, graph=graph, description=config, tokenizer=tokenizer)
