"""What moves: `Crossing` between two places of an operand, `Access` of a level."""

from __future__ import annotations

from dataclasses import dataclass

from inferstack.hardware.accelerator import Accelerator, Role

ARRAY = "array"
"""The innermost place: the registers of the array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """What moves between two neighbouring places of one operand.

    transfers: tiles that cross. elements: of a factor, moved inwards; of the output, moved
    outwards, partial sums included (`elements - output elements` come back).
    """

    slot: str
    role: Role
    outer: str
    inner: str
    transfers: int
    elements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Bytes that one operand reads from and writes to one level."""

    read_bytes: int
    written_bytes: int

    @property
    def total_bytes(self) -> int:
        """Both directions."""
        return self.read_bytes + self.written_bytes


def stationary(accelerator: Accelerator) -> Role | None:
    """The operand that the array keeps while the others stream through it."""
    name = accelerator.array.dataflow.split()[0]
    return next((role for role in Role if role.value == name), None)
