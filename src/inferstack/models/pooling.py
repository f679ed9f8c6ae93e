"""From hidden states to one embedding per sentence, as the folder of a sentence encoder says."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.ir.graph import Graph, Operator, Tensor
from inferstack.models.config_file import ConfigFile, read_json, read_object
from inferstack.ops.verify import verify

MODULES = "modules.json"
OUTPUT = "sentence_embedding"
HEAD = "head"
FLAG = "pooling_mode_"
MEAN = "mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling:
    """The mean over the tokens that are no padding. normalize: then scaled to length 1."""

    normalize: bool


def read_pooling(folder: Path, hidden: int) -> Pooling:
    """What modules.json and the pooling's config.json say; the plain mean without modules.json.

    Raises CheckpointError for a module or a pooling that is not the mean.
    """
    modules = read_json(folder, MODULES)
    if modules is None:
        return Pooling(normalize=False)
    where = str(folder / MODULES)
    if not isinstance(modules, list) or not all(isinstance(entry, dict) for entry in modules):
        raise CheckpointError(where, "is not a list of modules")
    kinds = []
    for entry in modules:
        file = ConfigFile(where, entry)
        kind = file.text("type").rpartition(".")[2]
        kinds.append(kind)
        if kind == "Pooling":
            _check_pooling(folder, where, file.text("path"), hidden)
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise CheckpointError(
            where,
            "these modules are not supported",
            got=", ".join(map(printable, kinds[:6])),
            need="Transformer, Pooling, optionally Normalize",
        )
    return Pooling(normalize=kinds[-1] == "Normalize")


def _check_pooling(folder: Path, where: str, path: str, hidden: int) -> None:
    """The pooling's own config.json must ask for the mean of the hidden states."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise CheckpointError(
            where, "a module's path leads out of the model folder", got=printable(path)
        )
    if not path.isprintable():
        raise CheckpointError(where, "a module's path is no file name", got=printable(path))
    name = str(PurePosixPath(path) / "config.json")
    content = read_object(folder, name)
    if content is None:
        raise CheckpointError(str(folder / name), "does not exist, but modules.json names it")
    file = ConfigFile(str(folder / name), content)
    asked = _asked(file)
    if asked != [MEAN]:
        raise CheckpointError(
            file.where,
            "this pooling is not supported",
            got=", ".join(map(printable, asked[:6])) or "none",
            need="the mean over the tokens alone",
        )
    for key in ("word_embedding_dimension", "embedding_dimension"):
        width = file.optional(key, hidden)
        if width != hidden:
            raise CheckpointError(
                file.where,
                f"{key} is not the hidden size of config.json",
                got=printable(str(width)),
                need=hidden,
            )


def _asked(file: ConfigFile) -> list[str]:
    """The poolings asked for, sorted.

    Up to version 4 of sentence-transformers: a key `pooling_mode_*` of true for each; from version
    5 on `pooling_mode`, a name, or several in a list or with + between them.
    """
    old = [
        key.removeprefix(FLAG).removesuffix("_tokens").removesuffix("_token")
        for key, value in file.content.items()
        if key.startswith(FLAG) and value is True
    ]
    named = file.optional("pooling_mode", [])
    if isinstance(named, str):
        named = named.split("+")
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise CheckpointError(file.where, "pooling_mode is no name", got=printable(str(named)))
    return sorted({*old, *(name.strip() for name in named)})


def with_pooling(graph: Graph, pooling: Pooling) -> Graph:
    """`graph`, whose one output is (batch, tokens, d), with the mean over the mask behind it."""
    (hidden,) = graph.outputs
    batch, _, width = graph.tensors[hidden].shape
    pooled = Tensor(name=OUTPUT, shape=(batch, width), dtype=graph.tensors[hidden].dtype)
    operator = Operator(
        name=OUTPUT,
        kind="mean_pool",
        inputs={"x": hidden, "mask": "mask"},
        output=OUTPUT,
        attributes={"normalize": pooling.normalize},
        part=HEAD,
    )
    whole = dataclasses.replace(
        graph,
        tensors={**graph.tensors, OUTPUT: pooled},
        operators=(*graph.operators, operator),
        outputs=(OUTPUT,),
    )
    verify(whole)
    return whole
