"""AccelForge, where it is installed, counts the exported files as we count."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from inferstack.cost.cost import cost
from inferstack.cost.scheduled import Scheduled
from inferstack.exchange import accelforge
from inferstack.hardware.accelerator import Accelerator
from inferstack.hardware.load import load_accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Loop, Mapping, Spatial, Store
from inferstack.mapping.shapes import attention_scores, convolution, matmul
from inferstack.schedule.nests.optimum import optimum

FFN2 = matmul(m=512, n=768, k=3072, name="ffn2")
INNER = (
    Store("out", "accumulator"),
    Store("b", "scratchpad"),
    Loop("k", 96),
    Store("a", "scratchpad"),
    Loop("k", 16),
    Loop("n", 16),
    Loop("m", 1),
    Spatial("k", 16, "row"),
    Spatial("n", 16, "column"),
)


def found(operator: Contraction, machine: Accelerator) -> Mapping:
    best = optimum(operator, machine, "edp", perfect=True)
    assert isinstance(best, Scheduled)
    return best.mapping


def evaluated(
    python: Path, repository: Path, folder: Path, inputs: Sequence[tuple[str, dict[str, str]]]
) -> list[dict[str, float]]:
    """What AccelForge says of each exported mapping."""
    jobs = []
    for name, files in inputs:
        paths = [folder / f"{name}-{file}" for file in files]
        for path, text in zip(paths, files.values(), strict=True):
            path.write_text(text)
        jobs.append({"task": "evaluate", "files": [str(path) for path in paths]})
    asked, answered = folder / "jobs.json", folder / "results.json"
    asked.write_text(json.dumps({"parallel": 1, "jobs": jobs}))
    worker = repository / "benchmarks" / "accelforge_worker.py"
    done = subprocess.run(
        [python, worker, asked, answered], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    results: list[dict[str, float]] = json.loads(answered.read_text())
    return results


@pytest.mark.slow
def test_accelforge_counts_the_optima_as_we_do(
    peers_python: Path, repository: Path, tmp_path: Path
) -> None:
    """To 0.1 %: the figures of every mapper's common target, and other operators."""
    machine = load_accelerator("peers-target")
    slow_loads = dataclasses.replace(
        machine, array=dataclasses.replace(machine.array, pass_cycles=16)
    )
    operators = (
        matmul(m=512, n=512, k=64, name="qk"),
        matmul(m=512, n=64, k=512, name="av"),
        matmul(m=512, n=768, k=768, name="proj"),
        matmul(m=512, n=3072, k=768, name="ffn1"),
        convolution(n=64, c=64, p=56, q=56, r=3, s=3, name="conv"),
        convolution(n=64, c=64, p=28, q=28, r=3, s=3, stride=2, name="strided"),
        attention_scores(heads=8, kv_heads=2, m=64, n=64, k=64, name="grouped"),
        matmul(m=1, n=768, k=768, name="decode"),
        matmul(m=1, n=1, k=5, name="tiny"),
    )
    cases = [(machine, operator) for operator in operators]
    cases.append((slow_loads, matmul(m=4, n=64, k=64, name="loads")))
    mappings = [found(operator, one) for one, operator in cases]
    inputs = [
        (operator.name, accelforge.files(one, operator, best))
        for (one, operator), best in zip(cases, mappings, strict=True)
    ]
    results = evaluated(peers_python, repository, tmp_path, inputs)
    for (one, operator), best, theirs in zip(cases, mappings, results, strict=True):
        ours = cost(best, operator, one)
        assert theirs["energy_pj"] == pytest.approx(ours.energy_pj, rel=1e-3), operator.name
        assert theirs["latency_s"] * 1e9 == pytest.approx(ours.cycles, rel=1e-3), operator.name
    uj = [round(result["energy_pj"] / 1e6, 2) for result in results[:5]]
    assert uj == [35.85, 36.37, 395.58, 1504.44, 130.94]


@pytest.mark.slow
def test_a_spill_differs_from_accelforges_by_what_its_file_says(
    peers_python: Path, repository: Path, tmp_path: Path
) -> None:
    """One width in DRAM, and a sum that comes back is written and read once more."""
    machine = load_accelerator("peers-target")
    spilled = found(FFN2, machine)
    narrow = dataclasses.replace(machine.levels[0], partial_sum_bits=8)
    orders = [
        nodes
        for nodes in itertools.permutations((Loop("m", 128), Loop("k", 1536), Loop("n", 384)))
        if nodes[-1].dim != "k"
    ]
    mappings = [spilled] + [
        Mapping(operator="ffn2", accelerator=machine.name, nodes=(*outer, *INNER))
        for outer in orders
    ]
    memories = (dataclasses.replace(level, capacity_bytes=1 << 30) for level in machine.levels[1:])
    roomy = dataclasses.replace(machine, levels=(narrow, *memories))
    inputs = [
        (f"ffn2-{number}", accelforge.files(roomy, FFN2, one))
        for number, one in enumerate(mappings)
    ]
    results = evaluated(peers_python, repository, tmp_path, inputs)
    accumulator = roomy.level("accumulator")
    for one, theirs in zip(mappings, results, strict=True):
        ours = cost(one, FFN2, roomy)
        back_bytes = 4 * ours.accesses["dram", "out"].read_bytes
        again = accumulator.read_pj_per_byte + accumulator.write_pj_per_byte
        assert theirs["energy_pj"] == pytest.approx(ours.energy_pj + back_bytes * again, rel=1e-5)


@pytest.mark.slow
def test_accelforge_counts_instances_side_by_side_as_we_do(
    peers_python: Path, repository: Path, tmp_path: Path
) -> None:
    """At one width of an output everywhere, which is what it has; it knows no fill of an array."""
    operators = (
        matmul(m=64, n=128, k=96, name="matmul"),
        convolution(n=16, c=8, p=12, q=12, r=3, s=3, name="conv"),
    )
    names = ("simba", "eyeriss", "tpu-v1", "tpu-v4i")
    cases = [(one_width(name), operator) for name in names for operator in operators]
    mappings = [found(operator, machine) for machine, operator in cases]
    inputs = [
        (f"{machine.name}-{operator.name}", accelforge.files(machine, operator, best))
        for (machine, operator), best in zip(cases, mappings, strict=True)
    ]
    results = evaluated(peers_python, repository, tmp_path, inputs)
    for (machine, operator), best, theirs in zip(cases, mappings, results, strict=True):
        ours = cost(best, operator, machine)
        cycles = theirs["latency_s"] * machine.clock_hz + machine.array.fill_cycles
        assert theirs["energy_pj"] == pytest.approx(ours.energy_pj, rel=1e-5), machine.name
        assert cycles == pytest.approx(ours.cycles, abs=1), machine.name


def one_width(name: str) -> Accelerator:
    """A machine of the library whose partial sums are as wide as results."""
    machine = load_accelerator(name)
    levels = (dataclasses.replace(level, partial_sum_bits=8) for level in machine.levels)
    return dataclasses.replace(machine, levels=tuple(levels))
