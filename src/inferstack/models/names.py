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
}
"""The last word of a name, and of older ones: checkpoints converted from TensorFlow kept its."""
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
    two axes for the last one.
    """

    names: tuple[str, ...]
    transposed: bool = False
    part: Part | None = None
    offset: float = 0.0
    heads: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """prefixes: what a file may put before every name. layer: of a layer's modules, with {n} for
    its number. modules: by part of a layer ("query", "ffn_norm"), the module in the file. others:
    the same of what stands outside of layers ("embedding.norm", "head"). tables: whole names of
    tensors without a last word ("embedding.word").

    transposed: dense weights stand as (outputs, inputs); straight: but for these. parts: of modules
    that one tensor holds together, which part is which. offset: what is added to gammas. wordless:
    modules of which a tensor has the name without a last word, straight but for those in `turned`,
    and with `heads`, their number and width, as axes where the file has them.
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
    offset: float = 0.0

    def stored(self, weight: str) -> StoredWeight:
        """Where the file keeps the weight that the graph calls `weight`."""
        if weight in self.tables:
            return StoredWeight(names=(self.tables[weight],))
        found = _LAYER.fullmatch(weight)
        if found is not None and found[2] in self.tables:
            name = self.tables[found[2]]
            return StoredWeight(names=(f"{self.layer.format(n=found[1])}.{name}",))
        module, _, slot = weight.rpartition(".")
        part, inner = None, module
        if found is not None:
            inner = found[2].rpartition(".")[0]
            part = self.parts.get(inner)
            module = f"{self.layer.format(n=found[1])}.{self.modules[inner]}"
        else:
            module = self.others[module]
        endings = [f".{word}" for word in SLOTS[slot]]
        if inner in self.wordless:
            endings = ["_bias" if slot == "bias" else ""]
        kept = (self.straight | self.wordless) - self.turned
        return StoredWeight(
            names=tuple(f"{module}{ending}" for ending in endings),
            transposed=self.transposed and slot == "weight" and inner not in kept,
            part=part,
            offset=self.offset if slot == "gamma" else 0.0,
            heads=self.heads if inner in self.wordless else None,
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


DECODER_STACK = "decoder."
"""In front of the decoder's own weights, of a model of two stacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacks:
    """The names of an encoder's weights, and of a decoder's."""

    encoder: Names
    decoder: Names

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What a file may put before every name."""
        return self.encoder.prefixes

    def stored(self, weight: str) -> StoredWeight:
        """Where the file keeps the weight that the graph calls `weight`."""
        if weight.startswith(DECODER_STACK):
            return self.decoder.stored(weight.removeprefix(DECODER_STACK))
        return self.encoder.stored(weight)

    def layer_of(self, name: str) -> int | None:
        """The number of the layer that a tensor of the file belongs to, in its stack."""
        found = self.encoder.layer_of(name)
        return self.decoder.layer_of(name) if found is None else found


def qkv(heads: int, kv_heads: int, width: int, groups: int = 1) -> dict[str, Part]:
    """Query, key and value side by side in one tensor, or so in each of `groups` of heads."""
    sizes = (heads * width // groups, kv_heads * width // groups, kv_heads * width // groups)
    return {
        name: Part(groups=groups, sizes=sizes, index=index)
        for index, name in enumerate(("query", "key", "value"))
    }
