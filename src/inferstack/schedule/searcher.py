"""`Searcher`: the schedules of a model's chunks by exact search, each distinct one found once."""

from __future__ import annotations

import math
import multiprocessing
import signal
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace

from inferstack.core.errors import InferStackError
from inferstack.core.infeasible import Infeasible
from inferstack.core.progress import Progress, counted, silent
from inferstack.cost.figures import check_objective
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.schedule.contraction import best_schedule, is_program
from inferstack.schedule.store import OptimumStore


@dataclass(slots=True)
class Searcher:
    """A `cost.groups.setting.Inner`. perfect: only steps that divide.

    store: of proven optima, on disk. budget_s: seconds for each search, after which the best so far
    is taken. unproven: how many were. gap: by which share an optimum of these may be lower.
    workers: processes that `look_ahead` may use; what is proven does not depend on it. Raises
    UnknownNameError for an objective that does not exist.
    """

    objective: str
    perfect: bool = False
    store: OptimumStore | None = None
    budget_s: float = math.inf
    workers: int = 1
    unproven: int = 0
    gap: float = 0.0
    known: dict[object, Scheduled | Infeasible] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the objective."""
        check_objective("--objective", self.objective)

    def __call__(
        self, contraction: Contraction, accelerator: Accelerator
    ) -> Scheduled | Infeasible:
        """The best schedule on a machine."""
        key = _key(contraction, accelerator)
        if key not in self.known:
            self._keep(key, _searched(self._job(contraction, accelerator)))
        found = self.known[key]
        if isinstance(found, Infeasible):
            return found
        mapping = replace(found.mapping, operator=contraction.name)
        return replace(found, contraction=contraction, mapping=mapping)

    def beside(
        self, contraction: Contraction, accelerator: Accelerator, rest: tuple[float, float]
    ) -> Scheduled | Infeasible:
        """The best schedule beside (cycles, pJ) of what runs on its own behind it."""
        if not is_program(contraction, accelerator):
            return self(contraction, accelerator)
        return best_schedule(
            contraction, accelerator, self.objective, perfect=self.perfect, rest=rest
        )

    def look_ahead(
        self,
        wanted: Iterable[Contraction],
        accelerator: Accelerator,
        progress: Progress = silent,
    ) -> None:
        """Searches what will be wanted side by side, the largest first.

        Ctrl-C ends the processes, and what is left is found as fast as it can be.
        """
        jobs = {_key(one, accelerator): self._job(one, accelerator) for one in wanted}
        jobs = {key: job for key, job in jobs.items() if key not in self.known}
        workers = min(self.workers, len(jobs))
        if workers < 2:
            return
        advance = counted(progress, "searching schedules", len(jobs))
        largest = sorted(jobs, key=lambda key: -jobs[key].contraction.macs)
        # A fresh interpreter each: a copy of this one could hold another thread's lock.
        context = multiprocessing.get_context("spawn")
        others = multiprocessing.active_children()
        with ProcessPoolExecutor(workers, context, initializer=_leave_interrupts) as pool:
            try:
                futures = {pool.submit(_attempted, jobs[key]): key for key in largest}
                for future in as_completed(futures):
                    found = None if future.exception() else future.result()
                    if found is not None:
                        self._keep(futures[future], found)
                    # Else it is searched again here, where the error has a place to go.
                    advance(1)
            except BrokenProcessPool:
                # A process was ended from outside; what it did not do is done here.
                return
            except KeyboardInterrupt:
                children = [c for c in multiprocessing.active_children() if c not in others]
                pool.shutdown(wait=False, cancel_futures=True)
                for child in children:
                    child.terminate()
                for child in children:
                    child.join()
                self.budget_s = 0.0

    def _job(self, contraction: Contraction, accelerator: Accelerator) -> _Job:
        return _Job(
            contraction=contraction,
            accelerator=accelerator,
            objective=self.objective,
            perfect=self.perfect,
            store=self.store,
            budget_s=self.budget_s,
        )

    def _keep(self, key: object, found: _Found) -> None:
        self.known[key] = found.result
        if not found.proven:
            self.unproven += 1
            self.gap = max(self.gap, found.gap)
        if found.interrupted:
            # Then the rest is found as fast as it can be.
            self.budget_s = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One search, as another process can be given it."""

    contraction: Contraction
    accelerator: Accelerator
    objective: str
    perfect: bool
    store: OptimumStore | None
    budget_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """proven: or infeasible. gap: by which share the optimum may be lower.

    interrupted: by Ctrl-C.
    """

    result: Scheduled | Infeasible
    proven: bool
    gap: float = 0.0
    interrupted: bool = False


def _key(contraction: Contraction, accelerator: Accelerator) -> object:
    capacities = tuple(level.capacity_bytes for level in accelerator.levels)
    return (contraction.signature, accelerator.name, capacities)


def _searched(job: _Job) -> _Found:
    found = best_schedule(
        job.contraction,
        job.accelerator,
        job.objective,
        perfect=job.perfect,
        budget_s=job.budget_s,
        store=job.store,
    )
    if isinstance(found, Infeasible):
        return _Found(result=found, proven=True)
    return _Found(
        result=found, proven=found.proof.optimal, gap=found.gap, interrupted=found.interrupted
    )


def _attempted(job: _Job) -> _Found | None:
    """None for an error."""
    try:
        return _searched(job)
    except InferStackError:
        return None


def _leave_interrupts() -> None:
    """Ctrl-C reaches all processes of a terminal; the first one decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
