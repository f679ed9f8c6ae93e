"""A Hugging Face folder as a graph with its weights, and the tokenizer that belongs to it.

Read: config.json, the weights (`checkpoint_weights`), tokenizer.json, and, of a sentence encoder,
modules.json with the pooling that it names. Nothing outside the folder is touched, nothing of it is
executed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError, UnknownNameError
from inferstack.core.foreign import recognised
from inferstack.core.text import LONGEST_SHOWN, printable
from inferstack.ir.graph import Graph
from inferstack.models.alone import SentencesAtOnce, part_of
from inferstack.models.architecture import (
    Architecture,
    HuggingFaceForm,
    architectures,
)
from inferstack.models.checkpoint_weights import CheckpointWeights
from inferstack.models.config_file import ConfigFile, folder_file, read_object
from inferstack.models.family import DECODER
from inferstack.models.pooling import MODULES, Pooling, own_vector, read_pooling, with_pooling
from inferstack.models.quantized import method_in, sizes
from inferstack.models.scenario import Phase, Scenario
from inferstack.models.stored_sizes import StoredSizes
from inferstack.models.text_part import OUTER, TextPart, inner_type
from inferstack.models.tokenizer import SentenceTokenizer, load_tokenizer
from inferstack.models.weight_files import WEIGHTS, is_soon_counted, stored_files
from inferstack.models.weight_type import WeightType, read_weight_type

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

CONFIG = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A model with its weights.

    graph: (batch, tokens) arrays -> sentence embeddings (batch, hidden), its one output.
    hidden_states: the names of the tensors (batch, tokens, hidden) behind the embeddings and each
    layer, in this order; `execute(..., keep=True)` gives their values.
    config: what the family made of config.json, a `models.description.Description`.
    """

    name: str
    graph: Graph
    tokenizer: SentenceTokenizer
    config: Any
    pooling: Pooling
    hidden_states: tuple[str, ...]


def load_checkpoint(folder: Path, *, seq_len: int, batch: int = 1) -> Checkpoint:
    """Reads the encoder in `folder` for sequences of `seq_len` tokens.

    Raises CheckpointError, naming file and place, for whatever is wrong with the folder; a
    sequence longer than the position table is an InputError.
    """
    content = config_content(folder)
    where = str(folder / CONFIG)
    architecture, form = _of_folder(folder, where, content)
    config = form.read_config(where, content)
    if not form.reads_weights or not _encodes_texts(architecture, config):
        raise CheckpointError(
            where,
            "is no encoder of sentences whose weights are read",
            got=repr(content["model_type"])[:60],
            need="an encoder",
            hint=f"`inferstack analyze {folder}` needs config.json alone",
        )
    scenario = Scenario.encode(seq_len, batch=batch)
    name = folder.resolve().name
    pooling = read_pooling(folder, config.hidden)
    weights = CheckpointWeights.of_folder(folder, form.names(config), content)
    encoder = architecture.build(name, config, scenario, weights, unrolled=True)
    weights.check_layers(config.depth)
    tokenizer = load_tokenizer(
        folder,
        encoder.inputs,
        tokens=seq_len,
        rows=_table_rows(encoder),
        padding_id=_padding_id(where, content, config.vocabulary),
        prompt=pooling.prompt,
    )
    return Checkpoint(
        name=name,
        graph=with_pooling(encoder, pooling) if len(encoder.outputs) == 1 else own_vector(encoder),
        tokenizer=tokenizer,
        config=config,
        pooling=pooling,
        hidden_states=_hidden_states(encoder, getattr(config, "encoder", config).depth),
    )


def load_graph(folder: Path, scenario: Scenario) -> tuple[Graph, tuple[str, ...]]:
    """The model in `folder` with its weights, for any pass that it can do, and the tensors of the
    folder that it does not use.

    Raises CheckpointError, naming file and place, and InputError for a pass that it cannot do.
    """
    content = config_content(folder)
    where = str(folder / CONFIG)
    architecture, form = architecture_in(where, content)
    if not form.reads_weights:
        raise CheckpointError(
            where, "the weights of this model_type are not read yet",
            got=printable(str(content["model_type"])),
            hint=f"`inferstack analyze {folder}` needs config.json alone",
        )  # fmt: skip
    config = form.read_config(where, content)
    weights = CheckpointWeights.of_folder(folder, form.names(config), content)
    graph = architecture.build(folder.resolve().name, config, scenario, weights, unrolled=True)
    weights.check_layers(config.depth)
    return graph, weights.unused


def read_architecture(folder: Path) -> tuple[Architecture, Any, WeightType]:
    """Architecture, configuration and type of weights of config.json; weights are not needed, but
    where they are there, the bytes of quantized ones are those of their files.

    Raises CheckpointError.
    """
    content = config_content(folder)
    where = str(folder / CONFIG)
    architecture, form = _of_folder(folder, where, content)
    config, said = form.read_config(where, content), read_weight_type(where, content)
    method = method_in(where, content)
    if method is not None and form.reads_weights and is_soon_counted(folder):
        # What the files have, modules that were left out of it too.
        stored = StoredSizes.of(form.names(config), sizes(stored_files(folder), *method))
        said = replace(said, stored=stored, source=f"{said.source}; weights as the files have them")
    return architecture, config, said


def config_content(folder: Path) -> dict[str, object]:
    """config.json as it stands there. Raises CheckpointError."""
    try:
        there, usable = folder.exists(), folder.is_dir()
    except OSError as failure:
        raise CheckpointError(str(folder), "cannot be read", got=failure.strerror) from None
    known = recognised(folder) if there and not usable else None
    if known is not None:
        raise CheckpointError(
            str(folder), "is no model that is read", got=known.what, need="a model folder",
            hint=known.instead,
        )  # fmt: skip
    if not usable:
        raise CheckpointError(
            str(folder),
            "is not a folder" if there else "does not exist",
            need=f"a model folder with {CONFIG}, {WEIGHTS} and tokenizer.json",
            hint="`inferstack sample` fetches one",
        )
    content = read_object(folder, CONFIG)
    if content is None:
        raise CheckpointError(str(folder), f"has no {CONFIG}", hint="is this the model's folder?")
    return content


def _of_folder(
    folder: Path, where: str, content: dict[str, object]
) -> tuple[Architecture, HuggingFaceForm]:
    """What reads the folder: a decoder with poolings makes vectors of sentences."""
    architecture, form = architecture_in(where, content)
    if architecture.phases == DECODER and folder_file(folder, MODULES) is not None:
        alone = SentencesAtOnce(form)
        return alone, alone
    return architecture, form


def architecture_in(where: str, content: dict[str, object]) -> tuple[Architecture, HuggingFaceForm]:
    """The architecture that reads this `model_type`."""
    model_type = ConfigFile(where, content).text("model_type")
    if model_type in OUTER:
        architecture, form = _reader(f"{where}, text_config", inner_type(where, content))
        return architecture, TextPart(form)
    return part_of(content, *_reader(where, model_type))


def _reader(where: str, model_type: str) -> tuple[Architecture, HuggingFaceForm]:
    known = set(OUTER)
    for architecture in architectures().values():
        form = architecture.hugging_face
        if form is None:
            continue
        if model_type in form.model_types:
            return architecture, form
        known |= form.model_types
    # "rembert" is no misspelt "bert": the nearest type would give another model's counts.
    shown = printable(model_type, LONGEST_SHOWN)
    raise UnknownNameError(where, "architecture", shown, known, suggest=False)


def _encodes_texts(architecture: Architecture, config: Any) -> bool:
    """Whether texts alone are what it makes vectors of."""
    stack = getattr(config, "encoder", config)
    return Phase.ENCODE in architecture.phases and getattr(stack, "reads_words", False)


def _hidden_states(graph: Graph, depth: int) -> tuple[str, ...]:
    """What stands behind the embeddings and each layer: the last of each part's operators."""
    last = {operator.name.partition(".")[0]: operator.output for operator in graph.operators}
    return tuple(last[part] for part in ("embedding", *(f"layer{n}" for n in range(depth))))


def _table_rows(graph: Graph) -> dict[str, int]:
    """By graph input: the rows of the table that it picks from."""
    return {
        operator.inputs["ids"]: graph.tensors[operator.inputs["table"]].shape[0]
        for operator in graph.operators
        if operator.kind == "embedding"
    }


def _padding_id(where: str, content: dict[str, object], vocabulary: int) -> int:
    """The id that fills short sentences; BERT's default of 0 where config.json has none."""
    file = ConfigFile(where, content)
    if file.optional("pad_token_id", None) is None:
        return 0
    return file.whole("pad_token_id", vocabulary - 1, least=0)
