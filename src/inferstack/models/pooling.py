"""From hidden states to one embedding per sentence, as the folder of a sentence encoder says.

Source: sentence-transformers 6.2, sentence_transformer/modules/pooling.py and base/modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.dtypes import DType
from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.ir.graph import Attribute, Graph, TensorRole
from inferstack.models.blocks import HEAD
from inferstack.models.config_file import ConfigFile, read_json, read_object
from inferstack.models.dense_module import Dense, module_file, read_dense
from inferstack.models.feed_forward import ACTIVATIONS
from inferstack.ops.builder import GraphBuilder

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

MODULES = "modules.json"
SENTENCE_ENCODER = "config_sentence_transformers.json"
OUTPUT = "sentence_embedding"
FLAG = "pooling_mode_"
MEAN = "mean"
KINDS: Mapping[str, tuple[str, Mapping[str, Attribute]]] = {
    "cls": ("token_pool", {"mode": "first"}),
    "max": ("token_pool", {"mode": "max"}),
    MEAN: ("mean_pool", {"normalize": False}),
    "mean_sqrt_len_tokens": ("token_pool", {"mode": "mean_sqrt_len"}),
    "weightedmean": ("token_pool", {"mode": "weighted_mean"}),
    "lasttoken": ("token_pool", {"mode": "last"}),
}
"""Operators by name of a pooling, in the order in which flags stand one behind the other."""
FLAGS = {
    FLAG + name: mode
    for name, mode in (
        ("cls_token", "cls"),
        ("max_tokens", "max"),
        ("mean_tokens", MEAN),
        ("mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
        ("weightedmean_tokens", "weightedmean"),
        ("lasttoken", "lasttoken"),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pooling:
    """modes: what is made of the tokens that are no padding, one behind the other; then the dense
    layers. normalize: last of all, scaled to length 1. prompt: stands before every sentence."""

    modes: tuple[str, ...] = (MEAN,)
    dense: tuple[Dense, ...] = ()
    normalize: bool = False
    prompt: str = ""


def read_pooling(folder: Path, hidden: int) -> Pooling:
    """What modules.json and the modules' own files say; the plain mean without modules.json.

    Raises CheckpointError for what we do not compute.
    """
    modules = read_json(folder, MODULES)
    if modules is None:
        return Pooling()
    where = str(folder / MODULES)
    if not isinstance(modules, list) or not all(isinstance(entry, dict) for entry in modules):
        raise CheckpointError(where, "is not a list of modules")
    files = [ConfigFile(where, entry) for entry in modules]
    kinds = [_kind(file) for file in files]
    _check_order(where, kinds)
    if files[0].optional("path", "") not in ("", "."):
        raise CheckpointError(
            where, "the Transformer stands in a folder of its own",
            got=printable(str(files[0].content["path"])), need="the model folder itself",
        )  # fmt: skip
    prompt = _prompt(folder)
    modes = _read_modes(folder, files[1], hidden, bool(prompt))
    width = hidden * len(modes)
    dense = []
    for kind, file in zip(kinds, files, strict=True):
        if kind == "Dense":
            dense.append(read_dense(folder, file, width))
            width = dense[-1].width
        if kind == "Normalize":
            _check_normalize(folder, file)
    return Pooling(
        modes=modes, dense=tuple(dense), normalize=kinds[-1] == "Normalize", prompt=prompt
    )


def _kind(file: ConfigFile) -> str:
    """The class of a module; with its whole name where it is not of sentence-transformers."""
    name = file.text("type")
    return name.rpartition(".")[2] if name.startswith("sentence_transformers.") else name


def _check_order(where: str, kinds: list[str]) -> None:
    rest = [kind for kind in kinds[2:] if kind != "Dropout"]
    rest = rest[:-1] if rest[-1:] == ["Normalize"] else rest
    if kinds[:2] != ["Transformer", "Pooling"] or any(kind != "Dense" for kind in rest):
        raise CheckpointError(
            where,
            "these modules are not supported",
            got=", ".join(map(printable, kinds[:6])),
            need="Transformer, Pooling, optionally Dense layers, optionally Normalize",
        )


def _check_normalize(folder: Path, file: ConfigFile) -> None:
    """Its config.json, which few folders have, must speak of sentences."""
    name = module_file(file, "config.json")
    content = read_object(folder, name)
    if content is not None:
        ConfigFile(str(folder / name), content).only("module_input_name", OUTPUT)


def _read_modes(folder: Path, module: ConfigFile, hidden: int, prompted: bool) -> tuple[str, ...]:
    """What the pooling's own config.json asks for."""
    name = module_file(module, "config.json")
    content = read_object(folder, name)
    if content is None:
        raise CheckpointError(str(folder / name), "does not exist, but modules.json names it")
    file = ConfigFile(str(folder / name), content)
    modes = _asked(file)
    unknown = [mode for mode in modes if mode not in KINDS]
    if unknown:
        raise CheckpointError(
            file.where,
            "this pooling is not supported",
            got=", ".join(map(printable, unknown[:6])),
            need=f"some of {', '.join(KINDS)}",
        )
    if prompted:
        file.only("include_prompt", True)
    for key in ("word_embedding_dimension", "embedding_dimension"):
        width = file.optional(key, hidden)
        if width != hidden:
            raise CheckpointError(
                file.where,
                f"{key} is not the hidden size of config.json",
                got=printable(str(width)),
                need=hidden,
            )
    return modes


def _asked(file: ConfigFile) -> tuple[str, ...]:
    """The poolings asked for, in the order in which they stand one behind the other.

    Up to version 4 of sentence-transformers: a key `pooling_mode_*` of true for each; from version
    5 on `pooling_mode`, a name, or several in a list or with + between them, which then counts
    alone. The mean where neither asks for any.
    """
    for key in file.content:
        if key.startswith(FLAG) and key not in FLAGS:
            raise CheckpointError(
                file.where, f"has the unknown key '{printable(key)}'",
                need=f"one of {', '.join(FLAGS)}",
            )  # fmt: skip
    named = file.optional("pooling_mode", None)
    if named is None:
        asked = tuple(
            mode for flag, mode in FLAGS.items() if flag in file.content and file.flag(flag, False)
        )
        return asked or (MEAN,)
    if isinstance(named, str):
        named = named.split("+")
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named) or not named:
        raise CheckpointError(file.where, "pooling_mode is no name", got=printable(str(named)))
    return tuple(name.strip() for name in named)


def _prompt(folder: Path) -> str:
    """What stands before every sentence by default; all other prompts are for who asks for them."""
    content = read_object(folder, SENTENCE_ENCODER)
    file = ConfigFile(str(folder / SENTENCE_ENCODER), content or {})
    if not file.has("default_prompt_name"):
        return ""
    name = file.text("default_prompt_name")
    prompts = file.optional("prompts", {})
    if not isinstance(prompts, dict) or not isinstance(prompts.get(name), str):
        raise CheckpointError(
            file.where, "default_prompt_name names no prompt", got=printable(name),
            need="a name in prompts, with its text",
        )  # fmt: skip
    return str(prompts[name])


def with_pooling(graph: Graph, pooling: Pooling) -> Graph:
    """`graph`, whose one output is (batch, tokens, d), with the pooling behind it."""
    (hidden,) = graph.outputs
    chain = _Chain(graph)
    inputs = {"x": hidden, "mask": "mask"}
    if pooling.modes == (MEAN,) and not pooling.dense:
        chain.add("mean_pool", inputs, {"normalize": pooling.normalize})
        return chain.graph()
    made = [chain.add(KINDS[mode][0], inputs, KINDS[mode][1]) for mode in pooling.modes]
    x = made[0]
    for other in made[1:]:
        x = chain.add("concatenate", {"a": x, "b": other})
    for number, dense in enumerate(pooling.dense):
        x = chain.dense(f"dense{number}", dense, x)
    if pooling.normalize:
        chain.add("unit_length", {"x": x})
    return chain.graph()


def own_vector(graph: Graph) -> Graph:
    """`graph`, whose outputs are the hidden state and a vector of it, with the vector alone."""
    return GraphBuilder.of(graph).build(graph.outputs[1:])


class _Chain:
    """Operators behind those of a graph; the last one's output is the embedding."""

    def __init__(self, graph: Graph) -> None:
        self.builder = GraphBuilder.of(graph)
        self.steps: list[tuple[str, Mapping[str, str], Mapping[str, Attribute]]] = []

    def add(
        self,
        kind: str,
        inputs: Mapping[str, str],
        attributes: Mapping[str, Attribute] | None = None,
    ) -> str:
        """One more; returns its output's name."""
        self.steps.append((kind, inputs, attributes or {}))
        return f"pooling{len(self.steps)}"

    def dense(self, name: str, dense: Dense, x: str) -> str:
        """A dense layer with its activation and residual."""
        inputs = {"a": x, "b": self._weight(f"{name}.weight", dense.weight)}
        if dense.bias is not None:
            inputs["bias"] = self._weight(f"{name}.bias", dense.bias)
        made = self.add("matmul", inputs)
        if dense.activation:
            kind, attributes = ACTIVATIONS[dense.activation]
            made = self.add(kind, {"x": made}, attributes)
        if not dense.keeps:
            return made
        if dense.residual is not None:
            inputs = {"a": x, "b": self._weight(f"{name}.residual", dense.residual)}
            x = self.add("matmul", inputs)
        return self.add("add", {"a": made, "b": x})

    def _weight(self, name: str, data: Array) -> str:
        return self.builder.tensor(name, data.shape, DType.FLOAT32, TensorRole.WEIGHT, data)

    def graph(self) -> Graph:
        """The whole."""
        for number, (kind, inputs, attributes) in enumerate(self.steps, start=1):
            name = OUTPUT if number == len(self.steps) else f"pooling{number}"
            self.builder.add(kind, name, inputs, attributes, part=HEAD)
        return self.builder.build((OUTPUT,))
