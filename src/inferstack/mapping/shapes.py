"""Contractions by their sizes, without a graph: what a mapper is asked about on its own.

The dimensions are those of the rules in `ops`: m, n, k of a matmul; batch, g, r, m, n, k of grouped
attention; batch, g, n, p, q, c, r, s of a convolution.
"""

from __future__ import annotations

from inferstack.core.errors import InputError
from inferstack.hardware.accelerator import Role
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.ops.rule import Affine
from inferstack.ops.windows import sliding

LARGEST_EXTENT = 2**24
"""Above it, sizes are taken for a mistake."""

Indices = tuple[Affine, ...]


def matmul(
    *, m: int, n: int, k: int, bits: int = 8, output_bits: int = 8, name: str = "matmul"
) -> Contraction:
    """out[m, n] = sum over k of a[m, k] * b[k, n]."""
    return _made(
        name,
        (("m", m), ("n", n), ("k", k)),
        ("k",),
        (("a", _axes("m", "k"), bits), ("b", _axes("k", "n"), bits)),
        (_axes("m", "n"), output_bits),
    )


def attention_scores(
    *,
    heads: int,
    kv_heads: int,
    m: int,
    n: int,
    k: int,
    batch: int = 1,
    bits: int = 8,
    output_bits: int = 8,
    name: str = "scores",
) -> Contraction:
    """scores[h, m, n] = sum over k of query[m, h, k] * key[n, h's group, k]; h = g * r."""
    r = _shared(name, heads, kv_heads)
    return _made(
        name,
        (("batch", batch), ("g", kv_heads), ("r", r), ("m", m), ("n", n), ("k", k)),
        ("k",),
        (
            ("query", (*_axes("batch", "m"), _digits(("g", r * k), ("r", k), ("k", 1))), bits),
            ("key", (*_axes("batch", "n"), _digits(("g", k), ("k", 1))), bits),
        ),
        ((*_axes("batch"), _digits(("g", r), ("r", 1)), *_axes("m", "n")), output_bits),
    )


def attention_context(
    *,
    heads: int,
    kv_heads: int,
    m: int,
    n: int,
    k: int,
    batch: int = 1,
    bits: int = 8,
    output_bits: int = 8,
    name: str = "context",
) -> Contraction:
    """context[m, h, n] = sum over k of probabilities[h, m, k] * value[k, h's group, n]."""
    r = _shared(name, heads, kv_heads)
    return _made(
        name,
        (("batch", batch), ("g", kv_heads), ("r", r), ("m", m), ("n", n), ("k", k)),
        ("k",),
        (
            (
                "probabilities",
                (*_axes("batch"), _digits(("g", r), ("r", 1)), *_axes("m", "k")),
                bits,
            ),
            ("value", (*_axes("batch", "k"), _digits(("g", n), ("n", 1))), bits),
        ),
        ((*_axes("batch", "m"), _digits(("g", r * n), ("r", n), ("n", 1))), output_bits),
    )


def convolution(
    *,
    n: int,
    c: int,
    p: int,
    q: int,
    r: int,
    s: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    batch: int = 1,
    bits: int = 8,
    output_bits: int = 8,
    name: str = "convolution",
) -> Contraction:
    """A two-dimensional convolution with p x q outputs; n, c: channels of all groups together.

    The input has stride * (p - 1) + dilation * (r - 1) + 1 rows, `padding` of them on either side
    zeros that DRAM does not hold; columns likewise.
    """
    sizes = {
        "stride": stride,
        "dilation": dilation,
        "groups": groups,
        "p": p,
        "q": q,
        "r": r,
        "s": s,
    }
    for what, size in sizes.items():
        _positive(f"operator {name}", what, size)
    if n % groups or c % groups:
        raise InputError(
            f"operator {name}", "channels do not divide into groups", got=(n, c), need=groups
        )
    own_n, own_c = n // groups, c // groups

    def axis(outer: str, places: int, inner: str, kernel: int) -> Affine:
        size = stride * (places - 1) + dilation * (kernel - 1) + 1 - 2 * padding
        if padding < 0 or size < 1:
            raise InputError(
                f"operator {name}",
                "padding leaves no input",
                got=padding,
                need="less than half of it",
            )
        return sliding(outer, inner, stride, dilation, padding, size)

    extents = (batch, groups, own_n, p, q, own_c, r, s)
    return _made(
        name,
        tuple(zip(("batch", "g", "n", "p", "q", "c", "r", "s"), extents, strict=True)),
        ("c", "r", "s"),
        (
            (
                "x",
                (
                    *_axes("batch"),
                    _digits(("g", own_c), ("c", 1)),
                    axis("p", p, "r", r),
                    axis("q", q, "s", s),
                ),
                bits,
            ),
            ("weight", (_digits(("g", own_n), ("n", 1)), *_axes("c", "r", "s")), bits),
        ),
        ((*_axes("batch"), _digits(("g", own_n), ("n", 1)), *_axes("p", "q")), output_bits),
    )


def _shared(name: str, heads: int, kv_heads: int) -> int:
    """Query heads per head of keys and values."""
    _positive(f"operator {name}", "kv_heads", kv_heads)
    if heads % kv_heads:
        raise InputError(
            f"operator {name}", "heads do not divide into groups", got=heads, need=kv_heads
        )
    return heads // kv_heads


def _axes(*names: str) -> Indices:
    return tuple(Affine(((name, 1),)) for name in names)


def _digits(*terms: tuple[str, int]) -> Affine:
    """An axis that several dimensions walk, each as a digit."""
    return Affine(terms)


def _positive(where: str, what: str, size: int) -> None:
    """Raises InputError for what is no size."""
    whole = isinstance(size, int) and not isinstance(size, bool)
    if not whole or not 1 <= size <= LARGEST_EXTENT:
        raise InputError(
            where, f"{what} is no size", got=size, need=f"a whole number, 1 to {LARGEST_EXTENT:,}"
        )


def check_sizes(contraction: Contraction) -> None:
    """Raises InputError where an extent is no whole number from 1 to LARGEST_EXTENT."""
    for name, extent in contraction.dims:
        _positive(f"operator {contraction.name}", f"the extent of {name}", extent)


def _made(
    name: str,
    dims: tuple[tuple[str, int], ...],
    reductions: tuple[str, ...],
    factors: tuple[tuple[str, Indices, int], ...],
    output: tuple[Indices, int],
) -> Contraction:
    slots = (*factors, ("out", *output))
    made = Contraction(
        name=name,
        dims=dims,
        reductions=frozenset(reductions),
        operands=tuple(
            Operand(slot=slot, role=role, indices=indices, bits=bits)
            for (slot, indices, bits), role in zip(slots, Role, strict=True)
        ),
    )
    check_sizes(made)
    return made
