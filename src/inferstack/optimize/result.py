"""What `optimize` hands back: one `Decision` per row, cumulative, and everything behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inferstack.core.provenance import Claim, Source
from inferstack.ir.graph import Work
from inferstack.optimize.quality import Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorResult:
    """One operator, or one fused group, as it ran.

    unit: "array", "vector unit" or "host". cycles: simulated for programs, modelled for the host
    (`claim` says which). predicted_cycles: of the mapping's formula; None on the host.
    compulsory_dram_bytes: every operand read once and the result written once.
    cycles_by_work: the cycles split by kind of work; a fused group has more than one.
    mapping, certificate: readable text; None where there is nothing to map.
    """

    name: str
    kind: str
    unit: str
    claim: Claim
    cycles: int
    predicted_cycles: int | None
    cycles_by_work: Mapping[Work, int]
    energy_pj: float
    macs: int
    dram_bytes: int
    compulsory_dram_bytes: int
    fused: tuple[str, ...]
    mapping: str | None
    certificate: str | None

    @property
    def prediction_error(self) -> float | None:
        """(predicted - simulated) / simulated; None on the host."""
        if self.predicted_cycles is None:
            return None
        return (self.predicted_cycles - self.cycles) / self.cycles


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One row of the stack: everything above it, and this.

    accelerator: the name of the machine in force. array_utilization: MACs over peak MACs of all
    cycles, host included. bit_exact_tensors: tensors compared between simulator and reference,
    all equal. kept_schedules: contractions whose schedule is that of the row above, because the
    simulator takes less with it than with the one that the search predicts to be best.
    """

    name: str
    description: str
    accelerator: str
    clock_hz: float
    peak_macs_per_cycle: int
    dram_bytes_per_cycle: float
    operators: tuple[OperatorResult, ...]
    quality: Quality
    bit_exact_tensors: int
    kept_schedules: tuple[str, ...] = ()

    @property
    def cycles(self) -> int:
        """Cycles of one forward pass."""
        return sum(operator.cycles for operator in self.operators)

    @property
    def latency_s(self) -> float:
        """Seconds of one forward pass."""
        return self.cycles / self.clock_hz

    @property
    def energy_pj(self) -> float:
        """Energy of one forward pass."""
        return sum(operator.energy_pj for operator in self.operators)

    @property
    def edp_pj_s(self) -> float:
        """Energy times delay."""
        return self.energy_pj * self.latency_s

    @property
    def dram_bytes(self) -> int:
        """Bytes read from and written to DRAM."""
        return sum(operator.dram_bytes for operator in self.operators)

    @property
    def array_utilization(self) -> float:
        """MACs done over MACs possible in all cycles."""
        macs = sum(operator.macs for operator in self.operators)
        return macs / (self.peak_macs_per_cycle * self.cycles)

    @property
    def cycles_by_work(self) -> dict[Work, int]:
        """Cycles by kind of work, in the order of `Work`."""
        return {
            work: sum(operator.cycles_by_work.get(work, 0) for operator in self.operators)
            for work in Work
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """The whole result of `inferstack optimize`.

    task: what the model is for. unit: what the samples are, that measure and that calibrate.
    pairs: scored ones, that measure too. truncated: texts that were longer than seq_len and lost
    their end. sources: of the accelerators' numbers, by accelerator name and dotted path. files:
    what was written beside the report, by what it is.
    """

    model: str
    seq_len: int
    task: str
    unit: str
    samples: int
    calibration_samples: int
    pairs: int
    truncated: int
    decisions: tuple[Decision, ...]
    sources: Mapping[str, Mapping[str, Source]]
    files: Mapping[str, str]
    version: str
