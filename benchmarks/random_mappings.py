"""The mapspace experiment of Kim et al. (arXiv 2302.14017, 5.5.1), over proven optima.

    python benchmarks/random_mappings.py [--count 100000] [--on peers-target] [--figure F.svg]

Random valid mappings of each operator, drawn uniformly over the stated space (`nests`), and
how their energy times delay is distributed over the proven optimum; the same where the array is
full, and with perfect factors alone. Then the sizes of the mapspaces, and what of them the proofs
had to touch. All figures are modelled, int8. Tables on stdout, one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.hardware.load import load_accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.shapes import convolution, matmul
from inferstack.schedule.nests.optimum import optimum
from inferstack.schedule.nests.sample import Sample, Sampler
from mapspace_figure import figure

if TYPE_CHECKING:
    import numpy.typing as npt

OPERATORS = {
    "conv1": convolution(n=64, c=3, p=112, q=112, r=7, s=7, stride=2),
    "3x3x512": convolution(n=512, c=512, p=7, q=7, r=3, s=3),
    "1x1x512": convolution(n=512, c=2048, p=7, q=7, r=1, s=1),
    "1x1x2048": convolution(n=2048, c=512, p=7, q=7, r=1, s=1),
    "base QKV": matmul(m=512, n=768, k=768),
    "base W1": matmul(m=512, n=3072, k=768),
    "large QKV": matmul(m=512, n=1024, k=1024),
    "large W1": matmul(m=512, n=4096, k=1024),
    "MHA d=240": matmul(m=512, n=240, k=240),
    "W1 d=120": matmul(m=512, n=480, k=120),
    "conv1 at 56": convolution(n=64, c=3, p=56, q=56, r=7, s=7, stride=2),
}
"""ResNet-50 (conv5_x has 7x7 outputs), BERT at 512 tokens; the last three have the same MACs."""
FULL_SIZE = 8
PAPER = {
    "3x3x512": (7.44, 1.58),
    "1x1x2048": (12.06, 2.62),
    "base QKV": (9.42, 1.70),
    "base W1": (9.84, 1.48),
}
"""10th percentile of EDP over the best of the sample, percent of mappings within 3 times of it.

Source: Kim et al., arXiv 2302.14017, section 5.5.1; BERT's under the names MHA and FFN.
"""
WHOLE, FULL = "whole space", "array full"
SPACES = tuple((perfect, filled) for filled in (False, True) for perfect in (False, True))
NEAR = 3
QUANTILES = np.concatenate([np.geomspace(1e-5, 0.1, 33), np.linspace(0.125, 1, 36)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """EDP of random mappings over the proven optimum of the same factors, if not said otherwise.

    drawn_from: mappings, valid or not. spread: worst over best of the sample. of_best_: over the
    best of the sample, as in the paper. median_energy, median_cycles: over those of the optimum.
    median_multipliers: of the array, in use.
    quantiles: of EDP, at `QUANTILES`.
    """

    operator: str
    perfect: bool
    filled: bool
    count: int
    drawn_from: int
    valid_percent: float
    best: float
    p10: float
    median: float
    worst: float
    spread: float
    within_3x_percent: float
    of_best_p10: float
    of_best_within_3x_percent: float
    median_energy: float
    median_cycles: float
    median_multipliers: float
    quantiles: tuple[float, ...]

    @property
    def valid(self) -> float:
        """An estimate of how many valid mappings there are."""
        return self.drawn_from * self.valid_percent / 100

    @property
    def space(self) -> str:
        """In words."""
        factors = "perfect" if self.perfect else "imperfect"
        return f"{FULL if self.filled else WHOLE}, {factors}"


def distribution(
    name: str, sampler: Sampler, found: Scheduled, count: int, seed: int
) -> Distribution:
    """The distribution of one operator in one space."""
    sample = sampler.draw(count, seed)
    figures = sample.figures
    over = np.sort(figures.edp / found.cost.edp)
    assert over[0] > 1 - 1e-9, "nothing beats a proven optimum"
    p10, median = np.percentile(over, (10, 50))
    return Distribution(
        operator=name,
        perfect=sampler.planner.perfect,
        filled=sampler.filled,
        count=count,
        drawn_from=sampler.size,
        valid_percent=100 * count / sample.drawn,
        best=float(over[0]),
        p10=float(p10),
        median=float(median),
        worst=float(over[-1]),
        spread=float(over[-1] / over[0]),
        within_3x_percent=float(100 * (over <= NEAR).mean()),
        of_best_p10=float(p10 / over[0]),
        of_best_within_3x_percent=float(100 * (over <= NEAR * over[0]).mean()),
        median_energy=float(np.median(figures.energy_pj) / found.cost.energy_pj),
        median_cycles=float(np.median(figures.cycles) / found.cost.cycles),
        median_multipliers=float(np.median(multipliers(sample))),
        quantiles=tuple(float(f"{q:.4g}") for q in np.quantile(over, QUANTILES)),
    )


def multipliers(sample: Sample) -> npt.NDArray[np.int64]:
    """Elements side by side in the array, by mapping: the last steps of all dimensions."""
    steps = sample.steps
    last = np.count_nonzero(steps, axis=2, keepdims=True) - 1
    side: npt.NDArray[np.int64] = np.take_along_axis(steps, last, axis=2).prod(axis=(1, 2))
    return side


def proven(wanted: Contraction, machine: Accelerator, perfect: bool) -> Scheduled:
    """The optimum, which exists and is proven."""
    found = optimum(wanted, machine, "edp", perfect=perfect)
    assert isinstance(found, Scheduled), "the smallest tiles fit"
    assert found.proof.optimal, "there is no budget"
    return found


def print_distributions(rows: Sequence[Distribution], whole: Sequence[Distribution]) -> None:
    """A table, the paper's figures beside those that they may be compared with.

    whole: the same operators in the whole space, of whose valid mappings these are a part.
    """
    print(f"\n{rows[0].space.capitalize()} factors\n")
    print(
        f"{'':12}{'EDP over the proven optimum':>49}{'':12}{'over the sample best':>22}"
        f"{'the paper':>16}{'medians over optimum':>22}"
    )
    print(
        f"{'operator':12}{'best':>8}{'p10':>9}{'median':>11}{'worst':>12}{'<=3x %':>9}"
        f"{'spread':>12}{'p10':>11}{'<=3x %':>11}{'p10':>8}{'<=3x %':>8}{'energy':>11}"
        f"{'cycles':>11}{'valid %':>9}{'of whole':>10}{'multipliers':>13}"
    )
    for row, all_of in zip(rows, whole, strict=True):
        part = row.valid / all_of.valid
        p10, near = (str(value) for value in PAPER.get(row.operator, ("", "")))
        print(
            f"{row.operator:12}{row.best:8.2f}{row.p10:9.1f}{row.median:11,.0f}{row.worst:12,.0f}"
            f"{row.within_3x_percent:9.3f}{row.spread:12,.0f}{row.of_best_p10:11.2f}"
            f"{row.of_best_within_3x_percent:11.3f}{p10:>8}{near:>8}{row.median_energy:11.2f}"
            f"{row.median_cycles:11.2f}{row.valid_percent:9.1f}{part:10.1e}"
            f"{row.median_multipliers:13.0f}"
        )


def print_proofs(found: dict[tuple[str, bool], Scheduled]) -> None:
    """What each proof had to touch."""
    print("\nMapspaces, and what became of their mappings in the proof of the EDP optimum\n")
    print(
        f"{'operator':12}{'loops':>6}  {'factors':10}{'mappings':>10}{'no better':>22}"
        f"{'over a bound':>16}{'misfits':>12}{'evaluated':>10}{'touched':>10}{'uJ':>9}"
        f"{'Mcycles':>9}{'ms':>7}"
    )
    for (name, perfect), one in found.items():
        proof = one.proof
        print(
            f"{name:12}{loops(OPERATORS[name]):6}  {'perfect' if perfect else 'imperfect':10}"
            f"{proof.space_size:10.2e}{100 * proof.pruned_by_dominance / proof.space_size:20.8f} %"
            f"{proof.pruned_by_bound:16,}{proof.misfits:12,}{proof.evaluated:10,}"
            f"{touched(one):10.1e}{1e-6 * one.cost.energy_pj:9.1f}{1e-6 * one.cost.cycles:9.3f}"
            f"{1e3 * proof.seconds:7.0f}"
        )


def loops(wanted: Contraction) -> int:
    """Dimensions above 1."""
    return sum(extent > 1 for _, extent in wanted.dims)


def touched(one: Scheduled) -> float:
    """The share of the space that is not left out because something else is known to be as good."""
    return 1 - one.proof.pruned_by_dominance / one.proof.space_size


def as_json(one: Scheduled, wanted: Contraction) -> dict[str, Any]:
    """An optimum with plain values."""
    proof = one.proof
    return {
        "loops": loops(wanted),
        "macs": wanted.macs,
        "energy_pj": one.cost.energy_pj,
        "cycles": one.cost.cycles,
        "space_size": proof.space_size,
        "evaluated": proof.evaluated,
        "pruned_by_bound": proof.pruned_by_bound,
        "pruned_by_dominance": proof.pruned_by_dominance,
        "misfits": proof.misfits,
        "touched": touched(one),
        "seconds": round(proof.seconds, 4),
    }


def main() -> None:
    """Parse, draw, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="mappings per distribution")
    parser.add_argument("--seed", type=int, default=2302)
    parser.add_argument("--on", default="peers-target", metavar="ACCELERATOR")
    parser.add_argument("--operators", nargs="+", choices=list(OPERATORS), default=list(OPERATORS))
    parser.add_argument("--figure", type=Path, help="SVG of the cumulative distributions")
    given = parser.parse_args()
    machine = load_accelerator(given.on)
    proven(matmul(m=16, n=16, k=16), machine, False)  # compiles
    optima: dict[tuple[str, bool], Scheduled] = {}
    rows: list[Distribution] = []
    for name in given.operators:
        start, wanted = time.perf_counter(), OPERATORS[name]
        for perfect in (True, False):
            optima[name, perfect] = proven(wanted, machine, perfect)
        for perfect, filled in SPACES:
            sampler = Sampler(wanted, machine, perfect=perfect, filled=filled)
            rows.append(distribution(name, sampler, optima[name, perfect], given.count, given.seed))
        print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    print(
        f"{given.count:,} random valid mappings per operator and space on {machine.name}, seed "
        f"{given.seed}"
    )
    for perfect, filled in SPACES:
        chosen, whole = (
            [one for one in rows if (one.perfect, one.filled) == (perfect, full)]
            for full in (filled, False)
        )
        print_distributions(chosen, whole)
    print_proofs(optima)
    if given.figure is not None:
        curves = [
            (row.filled, row.operator, row.quantiles)
            for row in rows
            if not row.perfect and row.operator in list(OPERATORS)[:FULL_SIZE]
        ]
        text = figure(curves, QUANTILES.tolist(), PAPER, (WHOLE, FULL))
        given.figure.write_text(text, encoding="utf-8")
    document = {
        "on": machine.name,
        "count": given.count,
        "seed": given.seed,
        "distributions": [
            {k: v for k, v in asdict(row).items() if k != "quantiles"} for row in rows
        ],
        "optima": [
            {"operator": name, "perfect": perfect, **as_json(one, OPERATORS[name])}
            for (name, perfect), one in optima.items()
        ],
        "paper": {
            name: {"of_best_p10": p10, "of_best_within_3x_percent": near}
            for name, (p10, near) in PAPER.items()
        },
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
