"""`Task`: what a model is for, and how well it still does it; found by a file's `TASK`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from inferstack.compress.calibration import Calibration, Feeds
from inferstack.core.errors import InputError
from inferstack.core.plugins import discover
from inferstack.core.progress import Progress
from inferstack.core.text import printable
from inferstack.ir.graph import Graph
from inferstack.optimize.quality import Quality
from inferstack.optimize.stages import Stages

if TYPE_CHECKING:
    from inferstack.analysis.workload import Model
    from inferstack.models.data import Pairs


class Evaluation(Protocol):
    """One checkpoint with its data, ready to be measured.

    graph: the float one, that every row compresses. samples, calibration_samples: how many `unit`
    measure, and how many give the ranges. truncated: texts that lose their end. pairs: scored ones.
    """

    graph: Graph

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def unit(self) -> str:
        """What a sample is, in the plural: sentences, windows of a text."""

    @property
    def samples(self) -> int:
        """How many measure."""

    @property
    def calibration_samples(self) -> int:
        """How many calibrate."""

    @property
    def truncated(self) -> int:
        """Texts that are longer than the sequence."""

    @property
    def pairs(self) -> int:
        """Scored pairs."""

    def calibrate(self, progress: Progress) -> Calibration:
        """Statistics of the float graph on the samples that calibrate."""

    def feeds(self, count: int) -> Feeds:
        """The first samples that measure, an array (count, ...) per input of the graph."""

    def quality(self, graph: Graph, method: str, progress: Progress) -> Quality:
        """Of a compressed graph; `method` names it among the stages."""


class Task(Protocol):
    """What a kind of models is for."""

    name: str
    description: str

    def takes(self, model: Model) -> bool:
        """Whether the model is for this; a model is for one task."""

    def read(self, path: Path) -> tuple[tuple[str, ...], str]:
        """The texts of a data file, and what it was read as. Raises DataError."""

    def weakness(self, texts: Sequence[str], calibration: Sequence[str] | None) -> str | None:
        """Why the ranges cannot be trusted; None where there is no such reason. See `prepare`."""

    def prepare(
        self,
        model: Path,
        seq_len: int,
        *,
        texts: Sequence[str],
        calibration: Sequence[str] | None,
        pairs: Pairs | None,
        stages: Stages,
    ) -> Evaluation:
        """Model and data. texts: measure; without `calibration` a third of them calibrates.

        Raises InputError for a model or data that cannot be used.
        """


@cache
def tasks() -> dict[str, Task]:
    """All tasks by name: the files of `tasks` and the entry points `inferstack.optimize.tasks`."""
    import inferstack.optimize.tasks

    return {task.name: task for task in discover(inferstack.optimize.tasks, "TASK").values()}


def task_of(model: Model) -> Task:
    """What the model is for. Raises InputError where no task is known for it."""
    for task in tasks().values():
        if task.takes(model):
            return task
    known = "; ".join(f"{task.name}: {task.description}" for task in tasks().values())
    raise InputError(
        printable(model.name), "is for no task that is measured yet", need=f"a model for {known}",
        hint="`inferstack analyze` and `inferstack map` take it",
    )  # fmt: skip
