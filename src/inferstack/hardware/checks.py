"""Whether the parts of a machine's description fit together: what a form alone cannot say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from inferstack.core.errors import AcceleratorError, UnknownNameError
from inferstack.hardware.accelerator import DATAFLOWS, Accelerator, Control, Role
from inferstack.ops.registry import rules
from inferstack.ops.rule import CONTRACTION_LOOPS

SUM_WIDTHS = (8, 16, 24, 32, 40, 48, 64)


def check_description(path: Path, accelerator: Accelerator) -> None:
    """Raises AcceleratorError, or UnknownNameError, at the first fault. path: for messages."""
    if accelerator.array.dataflow not in DATAFLOWS:
        where = f"{path}, array.dataflow"
        raise UnknownNameError(where, "dataflow", accelerator.array.dataflow, DATAFLOWS)
    for check in (
        _check_control,
        _check_roles,
        _check_widths,
        _check_dims,
        _check_fan_outs,
        _check_unit_level,
        _check_kinds,
    ):
        check(path, accelerator)


def _check_control(path: Path, accelerator: Accelerator) -> None:
    """Programs move data by DMA requests, whose figures must be there."""
    if accelerator.control is Control.PROGRAMS and not accelerator.has_dma:
        raise AcceleratorError(
            f"{path}, dma",
            "missing: a machine that runs programs moves data by a DMA engine",
            hint="add `dma` (see gemmini), or write control: sequencer",
        )


def _check_roles(path: Path, accelerator: Accelerator) -> None:
    """The outermost level holds everything, and each operand has a bounded level on the chip."""
    outer, *inner = accelerator.levels
    for role in Role:
        if role not in outer.holds:
            raise AcceleratorError(
                f"{path}, levels.{outer.name}.holds",
                "the outermost level does not hold every operand",
                got=", ".join(sorted(outer.holds)),
                need="input, output, weight",
            )
        if not any(role in level.holds for level in inner):
            raise AcceleratorError(
                f"{path}, levels",
                f"a level is missing: no level on the chip holds the {role}",
                got=", ".join(level.name for level in accelerator.levels),
                hint=f"add {role} to the `holds` of a level below {outer.name}",
            )
    for level in inner:
        if level.capacity_bytes is None:
            raise AcceleratorError(
                f"{path}, levels.{level.name}.capacity_bytes", "missing", need="bytes"
            )


def _check_kinds(path: Path, accelerator: Accelerator) -> None:
    """Operators that units or the host are said to compute exist: a typo would just be ignored."""
    tables: dict[str, Iterable[str]] = {}
    if accelerator.vector_unit is not None:
        tables["vector_unit.kinds"] = accelerator.vector_unit.passes
    if accelerator.has_host:
        tables["host.cycles_per_element"] = accelerator.host.cycles_per_element
    for where, kinds in tables.items():
        for kind in kinds:
            if kind not in rules():
                raise UnknownNameError(f"{path}, {where}", "operator kind", kind, rules())


def _check_dims(path: Path, accelerator: Accelerator) -> None:
    """Dimensions that may run along an axis are loops of operators: others would never match."""
    array = accelerator.array
    axes = {"array.row_dims": array.row_dims, "array.column_dims": array.column_dims}
    for fan_out in accelerator.fan_outs:
        axes |= {f"fan_outs.{fan_out.below}.{a.name}.dims": a.dims for a in fan_out.axes}
    for where, dims in axes.items():
        for number, dim in enumerate(dims):
            if dim not in CONTRACTION_LOOPS:
                raise UnknownNameError(f"{path}, {where}", "dimension", dim, CONTRACTION_LOOPS)
            if dim in dims[:number]:
                raise AcceleratorError(
                    f"{path}, {where}", "a dimension stands there twice", got=dim
                )


def _check_widths(path: Path, accelerator: Accelerator) -> None:
    """Partial sums lie in memory as whole bytes."""
    for level in accelerator.levels:
        if level.partial_sum_bits not in SUM_WIDTHS:
            raise AcceleratorError(
                f"{path}, levels.{level.name}.partial_sum_bits",
                "no width of a partial sum, which lies in memory as whole bytes",
                got=level.partial_sum_bits,
                need="one of " + ", ".join(map(str, SUM_WIDTHS)),
            )


def _check_fan_outs(path: Path, accelerator: Accelerator) -> None:
    """Levels that are named exist, and no two axes share a name."""
    known = [level.name for level in accelerator.levels]
    for name in accelerator.forwards_to:
        if name not in known:
            raise UnknownNameError(f"{path}, forwards_to", "level", name, known)
    names = {"row", "column"}
    for fan_out in accelerator.fan_outs:
        where = f"{path}, fan_outs.{fan_out.below}"
        if fan_out.below not in known:
            raise UnknownNameError(where, "level", fan_out.below, known)
        for axis in fan_out.axes:
            if axis.name in names:
                raise AcceleratorError(
                    f"{where}.{axis.name}",
                    "two axes share a name",
                    got=axis.name,
                    need="a name other than " + ", ".join(sorted(names)),
                )
            names.add(axis.name)


def _check_unit_level(path: Path, accelerator: Accelerator) -> None:
    """The level that feeds the units exists and holds results."""
    known = [level.name for level in accelerator.levels]
    unit = accelerator.vector_unit
    if unit is not None and unit.level is not None:
        where = f"{path}, vector_unit.level"
        if unit.level not in known:
            raise UnknownNameError(where, "level", unit.level, known)
        if Role.OUTPUT not in accelerator.level(unit.level).holds:
            holding = [v.name for v in accelerator.levels if Role.OUTPUT in v.holds]
            raise AcceleratorError(
                where, "holds no outputs", got=unit.level, need="one of " + ", ".join(holding)
            )
