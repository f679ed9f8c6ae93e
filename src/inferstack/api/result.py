"""`Result`: what each decision gained and cost on a real checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.api.encoder import Encoder, saved_encoder
from inferstack.api.shown import Record, Shown
from inferstack.core.errors import InputError, UnknownNameError
from inferstack.core.infeasible import DoesNotFitError, Infeasible
from inferstack.core.progress import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inferstack.optimize.result import Decision, Optimization
    from inferstack.optimize.stack import Request


class Result(Shown):
    """The stack of decisions. data: the library's own object. folder: of what was written."""

    __slots__ = ("_model", "data", "folder")

    def __init__(self, data: Optimization, model: Path, folder: Path) -> None:
        self.data, self._model, self.folder = data, model, folder

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The rows, each keeps everything above it."""
        return self.data.decisions

    @property
    def files(self) -> dict[str, Path]:
        """What was written, by what it is."""
        return {what: Path(path) for what, path in self.data.files.items()}

    def integer_model(self) -> Encoder:
        """The integer model of an encoder that was written, ready to run on sentences."""
        if self.data.task != "sentences":
            raise InputError(
                self.data.model, "its integer model is no encoder of sentences",
                hint=f"{self.folder} holds it: `inferstack.compress.artifact.load` gives the graph",
            )  # fmt: skip
        return saved_encoder(self._model, self.folder, self.data.seq_len)

    def table(self) -> RenderableType:
        """Costs, gains, shares of time, accuracy, and what the figures rest on."""
        from inferstack.report.table import to_tables

        return to_tables(self.data)

    def to_dict(self) -> Record:
        """Everything, every operator of every row included."""
        from inferstack.report.json import to_json

        return to_json(self.data)

    def records(self) -> list[Record]:
        """A row per decision."""
        from inferstack.report.json import to_records

        return to_records(self.data)

    def figure(self, which: str = "time") -> Any:
        """A figure of the report, of plotly: time, roofline or prediction."""
        from inferstack.report.figures import FIGURES

        if which not in FIGURES:
            raise UnknownNameError("figure", "figure", which, FIGURES)
        return FIGURES[which](self.data)

    def save_report(self, path: str | Path) -> Path:
        """Writes the report: one HTML page that needs no network. Raises InputError."""
        from inferstack.report.html import write_report

        write_report(self.data, Path(path))
        return Path(path)


def optimized(request: Request, progress: Progress) -> Result:
    """Runs the stack. Raises DoesNotFitError, and what `optimize.stack.optimize` raises."""
    from inferstack.optimize.stack import optimize

    found = optimize(request, progress)
    if isinstance(found, Infeasible):
        raise DoesNotFitError(found)
    return Result(found, request.model, request.folder)
