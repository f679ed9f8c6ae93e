"""The mapper on the common work: times, optima, the other tools' mappings under our model.

    python benchmarks/mapper.py [--resnet MACHINE ...] [--enumerate]

The five matmuls of a BERT-Base encoder layer at 512 tokens and a 3x3 convolution on `peers-target`
in one process after compilation, perfect and imperfect factors, objective EDP; then the mappings
that AccelForge and ZigZag found, costed by our model. --resnet: all distinct layers of ResNet-50 on
these machines. --enumerate: what costing mappings one by one would take. Narration on stderr, one
line of JSON last. All figures are modelled, times measured.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from typing import Any

from inferstack.cost.cost import cost
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.hardware.load import load_accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Loop, Mapping, Node, Spatial, Store
from inferstack.mapping.shapes import convolution, matmul
from inferstack.schedule.nests.optimum import optimum

TARGET = "peers-target"
WORK = {
    "qk": matmul(m=512, k=64, n=512),
    "av": matmul(m=512, k=512, n=64),
    "proj": matmul(m=512, k=768, n=768),
    "ffn1": matmul(m=512, k=768, n=3072),
    "ffn2": matmul(m=512, k=3072, n=768),
    "conv": convolution(n=64, c=64, p=56, q=56, r=3, s=3),
}
THEIRS = {
    "qk": "a n32 b out k4 m512",
    "av": "b m2 a n4 out k32 m256",
    "proj": "m2 a n48 b out k48 m256",
    "ffn1": "m2 a n192 b out k48 m256",
    "ffn2": "m4 n6 out k192 a b n8 m128",
    "conv": "weight p4 x n4 out c4 r3 s3 p14 q56",
}
"""AccelForge's best (loops with their factors, stores), K or C and N 16 in the array."""


def say(text: str) -> None:
    """Narration."""
    print(text, file=sys.stderr, flush=True)


def timed(wanted: Contraction, machine: Accelerator, perfect: bool) -> tuple[Scheduled, float]:
    """The proven optimum for EDP, and the seconds that it took."""
    start = time.perf_counter()
    found = optimum(wanted, machine, "edp", perfect=perfect)
    seconds = time.perf_counter() - start
    assert isinstance(found, Scheduled), "everything fits somehow"
    assert found.proof.optimal, "there is no budget"
    return found, seconds


def figures(found: Scheduled, seconds: float) -> dict[str, Any]:
    """What goes into the document."""
    proof = found.proof
    return {
        "seconds": round(seconds, 4),
        "energy_uj": round(found.cost.energy_pj / 1e6, 3),
        "cycles": found.cost.cycles,
        "dram_bytes": found.cost.dram_bytes,
        "bound_by": found.cost.bound_by,
        "space": proof.space_size,
        "evaluated": proof.evaluated,
    }


def common(machine: Accelerator) -> dict[str, Any]:
    """The common work, both spaces."""
    document: dict[str, Any] = {}
    for perfect, name in ((True, "perfect"), (False, "imperfect")):
        total, rows = 0.0, {}
        for operator, wanted in WORK.items():
            found, seconds = timed(wanted, machine, perfect)
            total += seconds
            rows[operator] = figures(found, seconds)
            say(
                f"{name:9} {operator:5} {1e3 * seconds:7.1f} ms {rows[operator]['energy_uj']:9.2f} "
                f"uJ {found.cost.cycles:9,} cycles; {found.proof.text()}"
            )
        document[name] = {"seconds": round(total, 4), "operators": rows}
        say(f"{name:9} in all {1e3 * total:.1f} ms")
    return document


def theirs(machine: Accelerator) -> dict[str, float]:
    """The other tools' mappings under our model, in uJ."""
    found = {}
    for operator, text in THEIRS.items():
        wanted = WORK[operator]
        slots = {
            o.slot: "accumulator" if o.slot == "out" else "scratchpad" for o in wanted.operands
        }
        left, nodes = wanted.extents, list[Node]()
        for word in text.split():
            if word in slots:
                nodes.append(Store(word, slots[word]))
            else:
                left[word[0]] //= int(word[1:])
                nodes.append(Loop(word[0], left[word[0]]))
        rows = "c" if "c" in left else "k"
        nodes += [Spatial(rows, 16, "row"), Spatial("n", 16, "column")]
        mapping = Mapping(operator=operator, accelerator=machine.name, nodes=tuple(nodes))
        scored = cost(mapping, wanted, machine)
        found[operator] = round(scored.energy_pj / 1e6, 3)
        say(f"AccelForge's {operator}: {found[operator]:.2f} uJ, {scored.cycles:,} cycles")
    return found


def resnet50() -> list[Contraction]:
    """The distinct layers of ResNet-50 (v1.5: the stride in the 3x3) at 224x224."""
    made: dict[object, Contraction] = {}

    def layer(n: int, c: int, size: int, kernel: int, stride: int = 1) -> None:
        wanted = convolution(
            n=n, c=c, p=size, q=size, r=kernel, s=kernel, stride=stride,
            name=f"{kernel}x{kernel} {c}->{n} at {size}/{stride}",
        )  # fmt: skip
        made.setdefault((n, c, size, kernel, stride), wanted)

    layer(64, 3, 112, 7, 2)
    width = 64
    for inner, outer, size in ((64, 256, 56), (128, 512, 28), (256, 1024, 14), (512, 2048, 7)):
        stride = 1 if size == 56 else 2
        layer(inner, width, size * stride, 1)
        layer(inner, inner, size, 3, stride)
        layer(outer, inner, size, 1)
        layer(outer, width, size, 1, stride)
        layer(inner, outer, size, 1)
        layer(inner, inner, size, 3)
        width = outer
    return [*made.values(), matmul(m=1, n=1000, k=2048, name="classifier")]


def network(machine: Accelerator) -> dict[str, Any]:
    """All distinct layers of ResNet-50."""
    total, rows = 0.0, {}
    for wanted in resnet50():
        found, seconds = timed(wanted, machine, False)
        total += seconds
        rows[wanted.name] = figures(found, seconds)
        say(
            f"{machine.name} {wanted.name:24} {seconds:7.3f} s {found.cost.energy_pj / 1e6:9.2f} uJ"
        )
    say(f"{machine.name}: {len(rows)} layers of ResNet-50 in {total:.2f} s")
    return {"seconds": round(total, 3), "layers": rows}


def rate(machine: Accelerator) -> dict[str, float]:
    """Mappings costed one by one per second, and what the space of one layer would take so."""
    wanted = WORK["proj"]
    found, _ = timed(wanted, machine, True)
    start, count = time.perf_counter(), 200
    for _ in range(count):
        cost(found.mapping, wanted, machine)
    per_s = count / (time.perf_counter() - start)
    years = found.proof.space_size / per_s / 86400 / 365
    say(f"{per_s:,.0f} mappings per second one by one: {years:,.1f} years for proj, perfect")
    return {"mappings_per_s": round(per_s), "years_for_proj_perfect": round(years, 2)}


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resnet", nargs="*", default=[], metavar="MACHINE")
    parser.add_argument("--enumerate", action="store_true")
    asked = parser.parse_args()
    target = load_accelerator(TARGET)
    start = time.perf_counter()
    timed(matmul(m=16, n=16, k=16), target, False)
    document: dict[str, Any] = {"compile_seconds": round(time.perf_counter() - start, 2)}
    document |= {"common": common(target), "accelforge_mappings_uj": theirs(target)}
    document["resnet50"] = {name: network(load_accelerator(name)) for name in asked.resnet}
    if asked.enumerate:
        document["one_by_one"] = rate(target)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    document["peak_mib"] = round(peak)
    print(json.dumps(document))


if __name__ == "__main__":
    main()
