"""`compiled`: numba's `njit` with a cache on disk, as a decorator that keeps the types."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """`function`, compiled by numba at its first call and cached beside its source file.

    Import modules that use it inside functions: importing numba costs half a second.
    """
    from numba import njit

    return cast("Callable[Parameters, Result]", njit(cache=True)(function))


def compiled_sums(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """As `compiled`, and sums may be taken in any order: for floating point that has to be fast."""
    from numba import njit

    return cast(
        "Callable[Parameters, Result]",
        njit(cache=True, fastmath={"reassoc", "contract"})(function),
    )
