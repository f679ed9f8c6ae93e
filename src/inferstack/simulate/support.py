"""Which accelerators the machine can be: a Gemmini of any capacity, with or without units."""

from __future__ import annotations

from inferstack.core.errors import AcceleratorError
from inferstack.hardware.accelerator import Accelerator, Control, Role
from inferstack.simulate.templates import BLOCK


def check_simulable(accelerator: Accelerator) -> None:
    """Raises AcceleratorError, naming the first thing that the instruction set cannot express."""
    where = f"accelerator {accelerator.name}"
    hint = "`inferstack analyze` and the mapper take any machine; gemmini.yaml shows this form"
    inner = accelerator.levels[1:]
    holds = [{role.value for role in level.holds} for level in inner]
    if holds != [{Role.INPUT.value, Role.WEIGHT.value}, {Role.OUTPUT.value}]:
        raise AcceleratorError(
            where,
            "the simulator has no instructions for these memories",
            got="; ".join(
                f"{level.name} ({', '.join(sorted(held))})"
                for level, held in zip(inner, holds, strict=True)
            ),
            need="a scratchpad for input and weight, then an accumulator for the output",
            hint=hint,
        )
    if accelerator.control is not Control.PROGRAMS:
        raise AcceleratorError(
            f"{where}, control", "the simulator runs programs, and this machine has none",
            got=accelerator.control.value, need=Control.PROGRAMS.value, hint=hint,
        )  # fmt: skip
    array = accelerator.array
    axes = "k" in array.row_dims and "n" in array.column_dims
    if not axes or (array.rows, array.columns) != (BLOCK, BLOCK):
        raise AcceleratorError(
            where,
            "the simulator has no instructions for this array",
            got=f"{array.rows} x {array.columns}, {', '.join(array.row_dims)} on rows and "
            f"{', '.join(array.column_dims)} on columns",
            need=f"{BLOCK} x {BLOCK}, k on rows and n on columns",
            hint=hint,
        )
