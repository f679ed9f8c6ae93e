"""The exact search and AccelForge on the same six operators, the same machine, in the same run.

    python benchmarks/peers.py [--peers-python PATH] [--python PYTHON3.12] [--repeats 5]

AccelForge lives in an environment of its own, `.peers`, made at the first run (720 MB; it needs
Python 3.12 or newer, which --python gives). Its input is what `exchange` writes. It runs as
it gives its best results on this machine: both orders of the two memories, no spilled partial sums
(it would charge them at the width of a result), perfect factors. Its time is that of both orders,
as nobody knows beforehand which is the better one; its best single order is given too.

Both sides are timed after compilation: medians of several runs in one process. AccelForge compiles
expressions at the first run of each operator and keeps them; those first runs, which a new operator
pays for, are given apart. So is its detailed evaluation of what it found: its search knows the
energy-delay product alone, while ours ends with the whole cost. Its mappings are scored by our
model as well. Tables on stdout, one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferstack.core.errors import InputError
from inferstack.cost.cost import Cost, cost
from inferstack.cost.scheduled import Scheduled
from inferstack.exchange import accelforge
from inferstack.exchange.accelforge_nest import mapping_from
from inferstack.hardware.accelerator import Accelerator
from inferstack.hardware.load import load_accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.shapes import convolution, matmul
from inferstack.schedule.nests.optimum import optimum

REPOSITORY = Path(__file__).resolve().parents[1]
ENVIRONMENT = REPOSITORY / ".peers"
WORKER = Path(__file__).with_name("accelforge_worker.py")
PACKAGE = "accelforge==1.0.467"
OLDEST_PYTHON = (3, 12)
TARGET = "peers-target"
ORDERS = {
    "scratchpad first": ("dram", "scratchpad", "accumulator"),
    "accumulator first": ("dram", "accumulator", "scratchpad"),
}
OPERATORS = (
    matmul(m=512, k=64, n=512, name="qk"),
    matmul(m=512, k=512, n=64, name="av"),
    matmul(m=512, k=768, n=768, name="proj"),
    matmul(m=512, k=768, n=3072, name="ffn1"),
    matmul(m=512, k=3072, n=768, name="ffn2"),
    convolution(n=64, c=64, p=56, q=56, r=3, s=3, name="conv"),
)
"""The matmuls of a BERT-Base layer at 512 tokens, and a 3x3 convolution of ResNet-50."""
PERFECT, IMPERFECT = "perfect", "imperfect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """AccelForge on one operator, with one order of the memories.

    energy_pj, cycles: as it reports them. scored: its mapping under our model. first_seconds: of
    the first search; seconds: the median of the others. report_seconds: what its documented call
    takes beyond the search to say energy and latency, without the picture.
    """

    order: str
    energy_pj: float
    cycles: float
    scored: Cost
    first_seconds: float
    seconds: float
    cpu_seconds: float
    report_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """The exact search on one operator: medians after compilation."""

    found: Scheduled
    seconds: float
    cpu_seconds: float


def environment(given: Path | None, base: str | None) -> Path:
    """The Python that has AccelForge; makes `.peers` where no other is given. Raises InputError."""
    python = given or ENVIRONMENT / "bin" / "python"
    if python.exists() or given is not None:
        return python
    names = [base] if base else [sys.executable, *(f"python3.{minor}" for minor in (12, 13, 14))]
    test = f"import sys; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    for name in filter(None, map(shutil.which, names)):
        if subprocess.run([name, "-c", test], capture_output=True, check=False).returncode == 0:
            print(f"installing {PACKAGE} into {ENVIRONMENT.name} ...", file=sys.stderr)
            subprocess.run([name, "-m", "venv", ENVIRONMENT], check=True)
            subprocess.run([python, "-m", "pip", "install", "-qq", PACKAGE], check=True)
            return python
    raise InputError(
        "benchmarks/peers.py", f"{PACKAGE} needs Python 3.12 or newer", got=", ".join(names),
        hint="--python PATH names one",
    )  # fmt: skip


def run_worker(python: Path, jobs: Sequence[dict[str, Any]], parallel: int = 1) -> list[Any]:
    """The results of the jobs, all in one process of AccelForge."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "jobs.json"), Path(folder, "results.json")
        asked.write_text(json.dumps({"parallel": parallel, "jobs": list(jobs)}))
        done = subprocess.run(
            [python, WORKER, asked, answered], cwd=folder, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"AccelForge failed:\n{done.stderr[-4000:]}")
        results: list[Any] = json.loads(answered.read_text())
        return results


def write_inputs(folder: Path, machine: Accelerator) -> dict[tuple[str, str], list[str]]:
    """The exported files, by operator and order."""
    found = {}
    for operator in OPERATORS:
        workload = folder / f"{operator.name}.yaml"
        workload.write_text(accelforge.workload([operator], machine))
        for order, levels in ORDERS.items():
            file = folder / f"{operator.name} {order}.yaml"
            file.write_text(accelforge.architecture(machine, operator, levels))
            found[operator.name, order] = [str(file), str(workload)]
    return found


def run_theirs(
    python: Path, machine: Accelerator, repeats: int, parallel: int
) -> dict[str, list[Theirs]]:
    """Both orders of each operator. The first job warms up what all share."""
    with tempfile.TemporaryDirectory() as name:
        inputs = write_inputs(Path(name), machine)
        jobs = [{"task": "map", "files": files, "repeats": repeats} for files in inputs.values()]
        _, *results = run_worker(python, [{**jobs[0], "repeats": 1}, *jobs], parallel)
    found: dict[str, list[Theirs]] = {operator.name: [] for operator in OPERATORS}
    by_name = {operator.name: operator for operator in OPERATORS}
    for (operator, order), result in zip(inputs, results, strict=True):
        wanted = by_name[operator]
        mapping = mapping_from(result["nodes"], wanted, machine)
        found[operator].append(
            Theirs(
                order=order,
                energy_pj=result["energy_pj"],
                cycles=result["latency_s"] * machine.clock_hz,
                scored=cost(mapping, wanted, machine),
                first_seconds=result["seconds"][0],
                seconds=statistics.median(result["seconds"][1:]),
                cpu_seconds=statistics.median(result["cpu_seconds"][1:]),
                report_seconds=statistics.median(result["report_seconds"][1:]),
            )
        )
    return found


def run_ours(machine: Accelerator, repeats: int, perfect: bool) -> dict[str, Ours]:
    """All operators once for the compilation, then each several times."""
    for operator in OPERATORS:
        optimum(operator, machine, "edp", perfect=perfect)
    return {operator.name: timed(operator, machine, repeats, perfect) for operator in OPERATORS}


def timed(operator: Contraction, machine: Accelerator, repeats: int, perfect: bool) -> Ours:
    """The medians of one operator."""
    seconds, cpu_seconds = [], []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        found = optimum(operator, machine, "edp", perfect=perfect)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu)
    assert isinstance(found, Scheduled), "the operators fit"
    return Ours(
        found=found,
        seconds=statistics.median(seconds),
        cpu_seconds=statistics.median(cpu_seconds),
    )


def best(orders: Sequence[Theirs]) -> Theirs:
    """The order of the smaller energy-delay product, as AccelForge reports it."""
    return min(orders, key=lambda one: one.energy_pj * one.cycles)


def print_tables(theirs: dict[str, list[Theirs]], ours: dict[str, dict[str, Ours]]) -> None:
    """What each side found, and how long it took."""
    print(
        f"{'':6}{'AccelForge, better order':>26}{'':12}{'scored by us':>20}"
        f"{'ours, perfect':>20}{'ours, imperfect':>20}"
    )
    print(f"{'':6}{'':17}{'uJ':>10}{'cycles':>11}" + f"{'uJ':>9}{'cycles':>11}" * 3)
    for operator, orders in theirs.items():
        one = best(orders)
        cells = f"{operator:6}{one.order:17}{1e-6 * one.energy_pj:10.2f}{one.cycles:11,.0f}"
        for one_cost in (one.scored, *(ours[kind][operator].found.cost for kind in ours)):
            cells += f"{1e-6 * one_cost.energy_pj:9.2f}{one_cost.cycles:11,}"
        print(cells)
    print(
        f"\n{'ms':6}{'AccelForge: first':>18}{'both orders':>13}{'better':>9}"
        f"{'ours: perfect':>15}{'imperfect':>11}"
    )
    for operator, orders in theirs.items():
        first, both = (sum(getattr(o, f) for o in orders) for f in ("first_seconds", "seconds"))
        own = [ours[kind][operator].seconds for kind in (PERFECT, IMPERFECT)]
        print(
            f"{operator:6}{1e3 * first:18,.0f}{1e3 * both:13,.0f}"
            f"{1e3 * best(orders).seconds:9,.0f}{1e3 * own[0]:15.1f}{1e3 * own[1]:11.1f}"
        )


def totals(theirs: dict[str, list[Theirs]], ours: dict[str, dict[str, Ours]]) -> dict[str, Any]:
    """Seconds of all operators together, and the ratios."""
    every = [one for orders in theirs.values() for one in orders]
    chosen = [best(orders) for orders in theirs.values()]
    theirs_s = {
        "first_runs_both_orders": sum(one.first_seconds for one in every),
        "both_orders": sum(one.seconds for one in every),
        "both_orders_cpu": sum(one.cpu_seconds for one in every),
        "both_orders_with_report": sum(one.seconds + one.report_seconds for one in every),
        "better_order_only": sum(one.seconds for one in chosen),
    }
    found: dict[str, Any] = {"accelforge_s": theirs_s}
    for kind, runs in ours.items():
        seconds = sum(one.seconds for one in runs.values())
        cpu = sum(one.cpu_seconds for one in runs.values())
        found[kind] = {
            "seconds": seconds,
            "cpu_seconds": cpu,
            "accelforge_over_ours": theirs_s["both_orders"] / seconds,
            "accelforge_over_ours_cpu": theirs_s["both_orders_cpu"] / cpu,
            "accelforge_over_ours_better_order_only": theirs_s["better_order_only"] / seconds,
            "accelforge_over_ours_with_report": theirs_s["both_orders_with_report"] / seconds,
            "accelforge_over_ours_first_runs": theirs_s["first_runs_both_orders"] / seconds,
            "no_worse": all(
                runs[name].found.cost.edp <= best(orders).scored.edp * (1 + 1e-9)
                for name, orders in theirs.items()
            ),
        }
    return found


def as_json(theirs: dict[str, list[Theirs]], ours: dict[str, dict[str, Ours]]) -> dict[str, Any]:
    """All figures with plain values."""
    rows: dict[str, Any] = {}
    for operator, orders in theirs.items():
        rows[operator] = {
            "accelforge": [
                {
                    "order": one.order,
                    "reported_uj": 1e-6 * one.energy_pj,
                    "reported_cycles": one.cycles,
                    "scored_uj": 1e-6 * one.scored.energy_pj,
                    "scored_cycles": one.scored.cycles,
                    "first_s": one.first_seconds,
                    "median_s": one.seconds,
                    "report_s": one.report_seconds,
                }
                for one in orders
            ],
            **{
                kind: {
                    "uj": 1e-6 * runs[operator].found.cost.energy_pj,
                    "cycles": runs[operator].found.cost.cycles,
                    "edp_over_accelforge": runs[operator].found.cost.edp / best(orders).scored.edp,
                    "proven": runs[operator].found.proof.optimal,
                    "space": runs[operator].found.proof.space_size,
                    "median_s": runs[operator].seconds,
                }
                for kind, runs in ours.items()
            },
        }
    return rows


def main() -> None:
    """Parse, run both sides, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers-python", type=Path, help="a Python that has AccelForge")
    parser.add_argument("--python", help="a Python 3.12 or newer to make the environment with")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each; two at the least")
    parser.add_argument("--parallel", type=int, default=1, help="AccelForge's processes")
    given = parser.parse_args()
    if given.repeats < 2:
        parser.error("--repeats: the first run is given apart, so two at the least")
    python = environment(given.peers_python, given.python)
    machine = load_accelerator(TARGET)
    load = [f"{os.getloadavg()[0]:.1f}"]
    theirs = run_theirs(python, machine, given.repeats, given.parallel)
    load.append(f"{os.getloadavg()[0]:.1f}")
    ours = {
        kind: run_ours(machine, given.repeats, perfect=kind == PERFECT)
        for kind in (PERFECT, IMPERFECT)
    }
    load.append(f"{os.getloadavg()[0]:.1f}")
    where = (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"load before, between and after: {', '.join(load)}"
    )
    print(f"{PACKAGE}, {given.parallel} process(es), and InferStack on {machine.name}, for EDP")
    print(f"{where}\n")
    print_tables(theirs, ours)
    every = totals(theirs, ours)
    print("\nall six, seconds; AccelForge over ours:")
    for kind in ours:
        row = every[kind]
        print(
            f"  {kind}: {every['accelforge_s']['both_orders']:.2f} / {row['seconds']:.3f} = "
            f"{row['accelforge_over_ours']:.0f}x (CPU time {row['accelforge_over_ours_cpu']:.0f}x, "
            f"with its report {row['accelforge_over_ours_with_report']:.0f}x, "
            f"better order only {row['accelforge_over_ours_better_order_only']:.0f}x, "
            f"first runs {row['accelforge_over_ours_first_runs']:.0f}x); "
            f"ours no worse: {'yes' if row['no_worse'] else 'NO'}"
        )
    print(
        json.dumps(
            {"machine": where, "package": PACKAGE, "parallel": given.parallel,
             "repeats": given.repeats, "operators": as_json(theirs, ours), "totals": every}
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
