"""`Schedule`: a mapping of one layer on one machine, with its cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inferstack.api.arguments import written
from inferstack.api.machine import Machine, machine_of
from inferstack.api.shown import Record, Shown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inferstack.cost.figures import Cost
    from inferstack.cost.groups.group import GroupCost
    from inferstack.cost.scheduled import Scheduled
    from inferstack.hardware.accelerator import Accelerator
    from inferstack.mapping.contraction import Contraction
    from inferstack.mapping.nest import Mapping


class _Costed(Shown):
    """What has a cost."""

    __slots__ = ()

    @property
    def cost(self) -> Cost | GroupCost:
        """What it costs."""
        raise AssertionError("a schedule says what it costs")

    @property
    def cycles(self) -> int:
        """Latency of one run."""
        return self.cost.cycles

    @property
    def energy_pj(self) -> float:
        """Energy, of all instances."""
        return self.cost.energy_pj

    @property
    def dram_bytes(self) -> int:
        """Bytes read from and written to DRAM."""
        return self.cost.dram_bytes


class Schedule(_Costed):
    """A loop nest and what it costs. data: the library's own object."""

    __slots__ = ("data",)

    def __init__(self, data: Scheduled) -> None:
        self.data = data

    @property
    def mapping(self) -> Mapping:
        """The nest."""
        return self.data.mapping

    @property
    def contraction(self) -> Contraction:
        """What it is a mapping of, with what follows it."""
        return self.data.contraction

    @property
    def accelerator(self) -> Accelerator:
        """The machine."""
        return self.data.accelerator

    @property
    def cost(self) -> Cost:
        """What it costs."""
        return self.data.cost

    @property
    def certificate(self) -> str | None:
        """What a search has proven, if there was one."""
        found = self.data.certificate
        return None if found is None else found.text()

    @property
    def name(self) -> str:
        """Of the layer."""
        return self.mapping.operator

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


class GroupSchedule(_Costed):
    """A fused group as a file says it, and what it costs."""

    __slots__ = ("_cost", "accelerator")

    def __init__(self, cost: GroupCost, accelerator: Accelerator) -> None:
        self._cost, self.accelerator = cost, accelerator

    @property
    def cost(self) -> GroupCost:
        """What it costs."""
        return self._cost

    @property
    def name(self) -> str:
        """Its operators."""
        return " + ".join(self.cost.kernels)

    def table(self) -> RenderableType:
        """The loops of the group, the nests, and the cost."""
        from inferstack.report.score import group_to_text

        return group_to_text(self.cost, self.accelerator)

    def to_dict(self) -> Record:
        """The cost; units stand in the names."""
        from inferstack.report.score import group_to_json

        return group_to_json(self.cost, self.accelerator)

    def records(self) -> list[Record]:
        """A row per operator: how often it runs, and whether on the way out."""
        kernels: list[Record] = self.to_dict()["kernels"]
        return kernels


def load_mapping(
    path: str | Path, *, on: Machine | str | Path | None = None
) -> Schedule | GroupSchedule:
    """Checks and costs a file of a mapping, or of a fused group, on the machine that it names or on
    another one.

    Raises MappingError for what makes no sense or does not fit.
    """
    from inferstack.core.errors import MappingError
    from inferstack.core.yaml import read_yaml
    from inferstack.cost.groups.scored import scored_group
    from inferstack.mapping.group_file import is_group, load_group
    from inferstack.mapping.mapping_file import load_mapping as read

    if is_group(read_yaml(Path(path), MappingError)):
        group, graph = load_group(Path(path))
        accelerator = machine_of(group.accelerator if on is None else on).accelerator
        return GroupSchedule(scored_group(group, graph, accelerator), accelerator)
    mapping, contraction = read(Path(path))
    return scored(mapping, contraction, machine_of(mapping.accelerator if on is None else on))


def scored(mapping: Mapping, contraction: Contraction, machine: Machine) -> Schedule:
    """A mapping with its cost."""
    from inferstack.cost.cost import cost
    from inferstack.cost.scheduled import Scheduled

    accelerator = machine.accelerator
    return Schedule(
        Scheduled(
            contraction=contraction,
            accelerator=accelerator,
            mapping=mapping,
            cost=cost(mapping, contraction, accelerator),
            certificate=None,
        )
    )
