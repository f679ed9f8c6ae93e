"""`Names`: what a checkpoint calls the weights of a described model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

SLOTS = {
    "gamma": ("weight", "gamma"),
    "beta": ("bias", "beta"),
    "weight": ("weight",),
    "bias": ("bias",),
    "mean": ("running_mean",),
    "variance": ("running_var",),
}
"""The last word of a name, and of older ones: checkpoints converted from TensorFlow kept its."""
LENGTHS = {"weight_v": "weight_g", "parametrizations.weight.original1": "original0"}
"""What a weight's direction is called, and its length: torch's weight_norm, the older one first."""
EXPERT = "{e}"
"""In a name: the number of an expert, or of a head."""
_LAYER = re.compile(r"layer(\d+)\.(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some of the outputs of a tensor: of each of `groups` equal groups, which holds parts of
    `sizes` one behind the other, the one of that index."""

    groups: int
    sizes: tuple[int, ...]
    index: int

    @property
    def outputs(self) -> int:
        """Of the whole tensor."""
        return self.groups * sum(self.sizes)

    def of(self, values: Array) -> Array:
        """The part along the first axis."""
        first = sum(self.sizes[: self.index])
        grouped = values.reshape(self.groups, -1, *values.shape[1:])
        found: Array = grouped[:, first : first + self.sizes[self.index]]
        return found.reshape(-1, *values.shape[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWeight:
    """Where a checkpoint keeps a weight.

    names: the name in the file, then older spellings of it. transposed: stored as (n, k), ours is
    (k, n). part: of the tensor's outputs; None is all. offset: to be added. Names with {e} stand
    for one tensor for each expert, along the first axis. heads: their number and width may stand as
    two axes for the last one. split: a direction and its length for each place along the last axis
    may stand for it, as two tensors (`length_of`).
    """

    names: tuple[str, ...]
    transposed: bool = False
    part: Part | None = None
    offset: float = 0.0
    heads: tuple[int, int] | None = None
    split: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """prefixes: what a file may put before every name. layer: of a layer's modules, with {n} for
    its number. modules: by part of a layer ("query", "ffn_norm"), the module in the file. others:
    the same of what stands outside of layers ("embedding.norm", "head"). tables: whole names of
    tensors without a last word ("embedding.word").

    transposed: dense weights stand as (outputs, inputs); straight: but for these. parts: of modules
    that one tensor holds together, which part is which. offset: what is added to gammas. wordless:
    modules of which a tensor has the name without a last word, straight but for those in `turned`,
    and with `heads`, their number and width, as axes where the file has them; so have tables of
    layers. split: modules whose weight may stand as a direction and its length. A module with
    {slot} has the last word there.
    """

    layer: str
    modules: Mapping[str, str]
    tables: Mapping[str, str]
    others: Mapping[str, str] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ("",)
    transposed: bool = True
    parts: Mapping[str, Part] = field(default_factory=dict)
    straight: frozenset[str] = frozenset()
    wordless: frozenset[str] = frozenset()
    turned: frozenset[str] = frozenset()
    heads: tuple[int, int] | None = None
    split: frozenset[str] = frozenset()
    offset: float = 0.0

    def stored(self, weight: str) -> StoredWeight:
        """Where the file keeps the weight that the graph calls `weight`."""
        if weight in self.tables:
            return StoredWeight(names=(self.tables[weight],))
        found = _LAYER.fullmatch(weight)
        if found is not None and found[2] in self.tables:
            name = self.tables[found[2]]
            place = f"{self.layer.format(n=found[1])}.{name}"
            return StoredWeight(names=(place,), heads=self.heads)
        module, _, slot = weight.rpartition(".")
        part, inner = self.parts.get(module), module
        if found is not None:
            inner = found[2].rpartition(".")[0]
            part = self.parts.get(inner)
            module = f"{self.layer.format(n=found[1])}.{self.modules[inner]}"
        else:
            module = self.others[module]
        endings = [f".{word}" for word in SLOTS[slot]]
        if inner in self.wordless:
            endings = ["_bias" if slot == "bias" else ""]
        names = [f"{module}{ending}" for ending in endings]
        if "{slot}" in module:
            names = [module.format(slot=word) for word in SLOTS[slot]]
        split = slot == "weight" and inner in self.split
        if split:
            names += [f"{module}.{direction}" for direction in LENGTHS]
        kept = (self.straight | self.wordless) - self.turned
        return StoredWeight(
            names=tuple(names),
            transposed=self.transposed and slot == "weight" and inner not in kept,
            part=part,
            offset=self.offset if slot == "gamma" else 0.0,
            heads=self.heads if inner in self.wordless else None,
            split=split,
        )

    def layer_of(self, name: str) -> int | None:
        """The number of the layer that a tensor of the file belongs to, if it has a number."""
        if "{n}" not in self.layer:
            return None
        pattern = re.escape(self.layer).replace(r"\{n\}", r"(\d+)")
        for prefix in self.prefixes:
            found = re.match(re.escape(prefix) + pattern + r"\.", name)
            if found is not None:
                return int(found[1])
        return None


def length_of(name: str) -> str | None:
    """The tensor with the length of a weight whose direction is called `name`; None for another."""
    for direction, length in LENGTHS.items():
        if name.endswith(f".{direction}"):
            return name.removesuffix(direction.rpartition(".")[2]) + length
    return None


DECODER_STACK = "decoder."
TEXT, VISION = "text.", "vision."
"""In front of a stack's own weights, of a model of several: the decoder's; a text's, an image's."""


@dataclass(frozen=True, slots=True)
class Stacks:
    """The names of the weights of several stacks, by what the graph puts in front of each's."""

    by_stack: Mapping[str, Names]

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What a file may put before every name."""
        return next(iter(self.by_stack.values())).prefixes

    def stored(self, weight: str) -> StoredWeight:
        """Where the file keeps the weight that the graph calls `weight`."""
        stack = max((s for s in self.by_stack if weight.startswith(s)), key=len)
        return self.by_stack[stack].stored(weight.removeprefix(stack))

    def layer_of(self, name: str) -> int | None:
        """The number of the layer that a tensor of the file belongs to, in its stack."""
        numbers = (names.layer_of(name) for names in self.by_stack.values())
        return next((number for number in numbers if number is not None), None)


def qkv(heads: int, kv_heads: int, width: int, groups: int = 1) -> dict[str, Part]:
    """Query, key and value side by side in one tensor, or so in each of `groups` of heads."""
    sizes = (heads * width // groups, kv_heads * width // groups, kv_heads * width // groups)
    return {
        name: Part(groups=groups, sizes=sizes, index=index)
        for index, name in enumerate(("query", "key", "value"))
    }
