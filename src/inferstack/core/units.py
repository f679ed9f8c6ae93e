"""Conventions of counting, and quantities as people read them."""

from __future__ import annotations

FLOPS_PER_MAC = 2
"""One multiply-accumulate is two operations, everywhere."""

KIB = 1024
MIB = 1024 * 1024

_SI = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def si(value: float, unit: str = "", digits: int = 2) -> str:
    """`value` with a decimal prefix: si(1.5e9, "FLOP") is "1.50 GFLOP"."""
    for factor, prefix in _SI:
        if abs(value) >= factor:
            return f"{value / factor:.{digits}f} {prefix}{unit}".rstrip()
    return f"{value:.{digits}f} {unit}".rstrip() if value % 1 else f"{value:.0f} {unit}".rstrip()


def ceil_div(dividend: int, divisor: int) -> int:
    """The quotient rounded up."""
    return -(-dividend // divisor)
