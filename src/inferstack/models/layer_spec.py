"""`LayerSpec`: one matmul or convolution, written as `matmul:m=512,k=768,n=3072` or by a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inferstack.core.errors import InputError, UnknownNameError

LARGEST = 2**18
KINDS: Mapping[str, tuple[tuple[str, ...], Mapping[str, int]]] = {
    "matmul": (("m", "k", "n"), {"count": 1}),
    "conv": (
        ("c", "n", "h", "w", "r", "s"),
        {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "batch": 1, "count": 1},
    ),
}
"""By kind: sizes that must be given, and others with their usual values."""
MEANING = {
    "matmul": "out (m, n) = a (m, k) b (k, n)",
    "conv": "c and n: input and output channels, h and w: the image without padding, r and s: the "
    "kernel",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """A layer. kind: of `KINDS`. sizes: of every key of its kind; count: how often it occurs."""

    name: str
    kind: str
    sizes: Mapping[str, int]

    @property
    def count(self) -> int:
        """How often it occurs."""
        return self.sizes["count"]


def layer(where: str, name: str, kind: str, given: Mapping[str, object]) -> LayerSpec:
    """A checked layer. Raises InputError, or UnknownNameError for a kind or size that is none."""
    if kind not in KINDS:
        raise UnknownNameError(where, "kind of layer", kind, KINDS)
    needed, usual = KINDS[kind]
    known = (*needed, *usual)
    for key in given:
        if key not in known:
            raise UnknownNameError(where, f"size of a {kind}", key, known)
    for key in needed:
        if key not in given:
            raise InputError(
                where, f"a {kind} needs {key}", got=", ".join(given) or "no sizes",
                need=", ".join(needed), hint=MEANING[kind],
            )  # fmt: skip
    sizes = dict(usual)
    for key, value in given.items():
        least = 0 if key == "padding" else 1
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not least <= int(str(value)) <= LARGEST:
            raise InputError(
                f"{where}, {key}", "is no size", got=value,
                need=f"a whole number from {least} to {LARGEST:,}",
            )  # fmt: skip
        sizes[key] = int(str(value))
    if kind == "conv":
        _check_convolution(where, sizes)
    return LayerSpec(name=name, kind=kind, sizes=sizes)


def _check_convolution(where: str, of: Mapping[str, int]) -> None:
    """Raises InputError for a kernel larger than the image, or channels that groups cut."""
    for image, kernel in (("h", "r"), ("w", "s")):
        space = of[image] + 2 * of["padding"]
        reach = (of[kernel] - 1) * of["dilation"] + 1
        if reach > space:
            raise InputError(
                where, f"the kernel does not fit the image: {kernel} reaches over {image}",
                got=f"a reach of {reach:,}", need=f"at most {space:,}, padding included",
            )  # fmt: skip
    if of["c"] % of["groups"] or of["n"] % of["groups"]:
        raise InputError(
            where, "channels do not divide into groups",
            got=f"{of['c']:,} and {of['n']:,} channels", need=f"multiples of {of['groups']:,}",
        )  # fmt: skip


def parsed(text: str, number: int) -> LayerSpec:
    """The layer of `--layer matmul:m=512,k=768,n=3072`. number: in the row of flags, its name."""
    where = f"--layer {text if len(text) <= 60 else text[:57] + '...'}"
    kind, colon, rest = text.partition(":")
    if not colon or not rest:
        raise InputError(
            where, "is no layer", need="KIND:SIZE=N,...",
            hint="for example matmul:m=512,k=768,n=3072 or conv:c=64,n=64,h=56,w=56,r=3,s=3",
        )  # fmt: skip
    given: dict[str, object] = {}
    for part in rest.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise InputError(where, "a size has no value", got=part, need="SIZE=N")
        if key in given:
            raise InputError(where, "a size is given twice", got=key)
        digits = value.isascii() and value.isdigit() and len(value) <= 12
        given[key] = int(value) if digits else value
    return layer(where, f"{kind.strip()}{number}", kind.strip(), given)
