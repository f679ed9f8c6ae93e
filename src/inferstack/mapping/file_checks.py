"""Whether what a mapping file says of operators fits together: what its form alone cannot say.

Files are edited by hand; costs and searches may take for granted what is checked here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from inferstack.core.errors import MappingError, UnknownNameError
from inferstack.core.units import ceil_div
from inferstack.hardware.accelerator import Role
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.kernels import Kernel
from inferstack.mapping.shapes import LARGEST_EXTENT
from inferstack.ops.registry import rules
from inferstack.ops.rule import CONTRACTION_LOOPS, Affine

MOST_PADDED = 2**16
"""Positions of an index: `cost.padding` goes from one to the next."""


def check_contraction(where: str, contraction: Contraction) -> None:
    """Raises MappingError, or UnknownNameError, at the first fault. where: for messages."""
    extents = contraction.extents
    for dim in extents:
        if dim not in CONTRACTION_LOOPS:
            raise UnknownNameError(where, "dimension", dim, CONTRACTION_LOOPS)
    slots = [operand.slot for operand in contraction.operands]
    if len(set(slots)) != len(slots):
        raise MappingError(where, "two operands share a slot", got=", ".join(slots))
    for operand in contraction.operands:
        place = f"{where}, {operand.slot}"
        check_indices(place, operand.indices, extents)
        if not operand.indices or not all(index.terms for index in operand.indices):
            raise MappingError(
                place, "an axis of an operand follows no dimension", need="terms: {m: 1}"
            )
    written = contraction.by_role(Role.OUTPUT).dims
    left = set(extents) - contraction.reductions
    if written != left:
        raise MappingError(
            where, "the output does not follow the dimensions that are not summed over",
            got=", ".join(sorted(written)), need=", ".join(sorted(left)),
        )  # fmt: skip
    asked = {
        "n": contraction.bias_bits is not None or bool(contraction.epilogue.kinds),
        "m": bool(contraction.row_factor_bits),
    }
    for dim, needed in asked.items():
        if needed and dim not in extents:
            raise MappingError(
                where, f"what follows the products needs the dimension {dim}",
                got=", ".join(extents),
            )  # fmt: skip


def check_indices(where: str, indices: Iterable[Affine], extents: Mapping[str, int]) -> None:
    """Raises MappingError for an index that walks backwards, further than a tensor is long, or
    outside of its tensor as no padding does."""
    for number, index in enumerate(indices):
        reach = 1 + abs(index.offset)
        for dim, coefficient in index.terms:
            if coefficient < 1:
                raise MappingError(
                    f"{where}, index {number}", f"does not walk along {dim}", got=coefficient,
                    need="a whole number from 1",
                )  # fmt: skip
            reach += coefficient * (extents[dim] - 1)
        if reach > LARGEST_EXTENT:
            raise MappingError(
                f"{where}, index {number}", "reaches further than a tensor is long",
                got=f"{reach:,}", need=f"at most {LARGEST_EXTENT:,}",
            )  # fmt: skip
        _check_padding(f"{where}, index {number}", index, extents)


def _check_padding(where: str, index: Affine, extents: Mapping[str, int]) -> None:
    """What lies before and behind the tensor: each less than a dimension alone walks along, and not
    more than can be counted one by one."""
    if index.size is None:
        return
    reaches = [coefficient * (extents[dim] - 1) for dim, coefficient in index.terms]
    most = max(reaches, default=0)
    before, behind = -index.offset, index.offset + sum(reaches) + 1 - index.size
    if max(before, behind) > most:
        raise MappingError(
            where, "has more padding than one of its dimensions walks along",
            got=f"{max(before, behind):,}", need=f"at most {most:,}",
        )  # fmt: skip
    positions = sum(
        math.prod(min(extents[dim], ceil_div(outside, c)) for dim, c in index.terms)
        for outside in (max(before, 0), max(behind, 0))
    )
    if positions > MOST_PADDED:
        raise MappingError(
            where, "has more positions in the padding than are counted", got=f"{positions:,}",
            need=f"at most {MOST_PADDED:,}",
        )  # fmt: skip


def check_kernels(
    path: str, kernels: Sequence[Kernel], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raises MappingError, or UnknownNameError, where the kernels of a group are none."""
    made = [kernel.writes.tensor for kernel in kernels]
    for number, kernel in enumerate(kernels):
        where = f"{path}, kernels.{number}"
        if kernel.kind not in rules():
            raise UnknownNameError(f"{where}.kind", "operator kind", kernel.kind, rules())
        for twice in ("name", "writes"):
            if _named(kernel, twice) in [_named(other, twice) for other in kernels[:number]]:
                raise MappingError(
                    f"{where}.{twice}", "is that of another kernel", got=_named(kernel, twice)
                )
        for port in (*kernel.reads, kernel.writes):
            _check_axes(f"{where}, {port.slot}", port.access.indices, shapes[port.tensor])
            check_indices(f"{where}, {port.slot}", port.access.indices, kernel.space.extents)
        if not all(index.terms for index in kernel.writes.access.indices):
            raise MappingError(
                f"{where}, {kernel.writes.slot}", "an axis of a result follows no dimension"
            )
        later = {port.tensor for port in kernel.reads} & set(made[number:])
        if later:
            raise MappingError(
                f"{where}.reads", "reads what is made later", got=", ".join(sorted(later)),
                need="the kernels in the order in which they run",
            )  # fmt: skip
        if kernel.contraction is not None:
            _check_own(where, kernel, kernel.contraction)


def _named(kernel: Kernel, what: str) -> str:
    return kernel.name if what == "name" else kernel.writes.tensor


def _check_axes(where: str, indices: Sequence[Affine], shape: Sequence[int]) -> None:
    """With fewer indices than axes, the first walks the leading axes as one."""
    if not 1 <= len(indices) <= len(shape):
        raise MappingError(
            where, "has no index for each axis of its tensor", got=f"{len(indices)} indices",
            need=f"{len(shape)}, or fewer where the first walks several axes",
        )  # fmt: skip


def _check_own(where: str, kernel: Kernel, contraction: Contraction) -> None:
    """The contraction has the kernel's loops and operands."""
    if dict(contraction.dims) != kernel.space.extents:
        raise MappingError(
            f"{where}.contraction.dims", "are not the kernel's", got=dict(contraction.dims),
            need=kernel.space.extents,
        )  # fmt: skip
    slots = {port.slot for port in kernel.reads}
    for operand in contraction.operands:
        if operand.role is not Role.OUTPUT and operand.slot not in slots:
            raise MappingError(
                f"{where}.contraction", "has an operand that the kernel does not read",
                got=operand.slot, need=", ".join(sorted(slots)),
            )  # fmt: skip
