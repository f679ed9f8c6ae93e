"""`Schedule`: a mapping of one layer on one machine, with its cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inferstack.api.arguments import written
from inferstack.api.machine import Machine, machine_of
from inferstack.api.shown import Record, Shown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inferstack.cost.cost import Cost
    from inferstack.hardware.accelerator import Accelerator
    from inferstack.mapping.contraction import Contraction
    from inferstack.mapping.nest import Mapping


class Schedule(Shown):
    """A loop nest and what it costs. certificate: what a search has proven, if there was one."""

    __slots__ = ("accelerator", "certificate", "contraction", "cost", "mapping")

    def __init__(
        self,
        mapping: Mapping,
        contraction: Contraction,
        accelerator: Accelerator,
        cost: Cost,
        certificate: str | None = None,
    ) -> None:
        self.mapping, self.contraction, self.accelerator = mapping, contraction, accelerator
        self.cost, self.certificate = cost, certificate

    @property
    def name(self) -> str:
        """Of the layer."""
        return self.mapping.operator

    @property
    def cycles(self) -> int:
        """Latency."""
        return self.cost.cycles

    @property
    def energy_pj(self) -> float:
        """Energy, of all instances."""
        return self.cost.energy_pj

    @property
    def dram_bytes(self) -> int:
        """Bytes read from and written to DRAM."""
        return self.cost.dram_bytes

    @property
    def nest(self) -> str:
        """The loops in words, outermost first."""
        from inferstack.mapping.text import readable

        return readable(self.mapping, self.contraction, self.accelerator)

    def table(self) -> RenderableType:
        """The nest, what each level holds and moves, and the cost."""
        from inferstack.report.score import to_text

        return to_text(self.mapping, self.contraction, self.accelerator, self.cost)

    def to_dict(self) -> Record:
        """The cost, with what each level moves; units stand in the names."""
        from inferstack.report.score import to_json

        return to_json(self.mapping, self.accelerator, self.cost)

    def records(self) -> list[Record]:
        """A row per level and operand: bytes read and written."""
        accesses: list[Record] = self.to_dict()["accesses"]
        return accesses

    def to_yaml(self) -> str:
        """The mapping file."""
        from inferstack.mapping.mapping_file import mapping_text

        return mapping_text(self.mapping, self.contraction)

    def save(self, path: str | Path) -> Path:
        """Writes the mapping file, which `load_mapping` and `inferstack map --score` read.

        Raises InputError.
        """
        return written(path, self.to_yaml())


def load_mapping(path: str | Path, *, on: Machine | str | Path | None = None) -> Schedule:
    """Checks and costs a mapping file, on the machine that it names or on another one.

    Raises MappingError for a mapping that makes no sense or does not fit.
    """
    from inferstack.mapping.mapping_file import load_mapping as read

    mapping, contraction = read(Path(path))
    return scored(mapping, contraction, machine_of(mapping.accelerator if on is None else on))


def scored(mapping: Mapping, contraction: Contraction, machine: Machine) -> Schedule:
    """A mapping with its cost."""
    from inferstack.cost.cost import nest_cost

    accelerator = machine.accelerator
    cost = nest_cost(mapping, contraction, accelerator)
    return Schedule(mapping, contraction, accelerator, cost)
