"""A result as `optimize` would hand it back: BERT-like rows, with names that try to break out."""

from __future__ import annotations

import pytest

from inferstack.compress.accuracy import LengthAccuracy
from inferstack.core.provenance import Claim, Source
from inferstack.ir.graph import Work
from inferstack.optimize.quality import Measure, Quality
from inferstack.optimize.result import Decision, OperatorResult, Optimization

HOSTILE = "<img src=x onerror=alert(1)>&</script>[bold]{0}"


def _operator(name: str, kind: str, work: Work, cycles: int, **over: object) -> OperatorResult:
    fields: dict[str, object] = {
        "name": name,
        "kind": kind,
        "unit": "host",
        "claim": Claim.MODELLED,
        "cycles": cycles,
        "predicted_cycles": None,
        "cycles_by_work": {work: cycles},
        "energy_pj": 70.0 * cycles,
        "macs": 0,
        "dram_bytes": 3 * 128 * 384,
        "compulsory_dram_bytes": 2 * 128 * 384,
        "fused": (),
        "mapping": None,
        "certificate": None,
    }
    return OperatorResult(**(fields | over))  # type: ignore[arg-type]


def _matmul(name: str, macs: int, cycles: int, predicted: int, **over: object) -> OperatorResult:
    fields: dict[str, object] = {
        "unit": "array",
        "claim": Claim.SIMULATED,
        "macs": macs,
        "predicted_cycles": predicted,
        "energy_pj": 0.3 * macs + 160.0 * 400_000,
        "dram_bytes": 400_000,
        "compulsory_dram_bytes": 246_000,
        "mapping": f"{name}\nfor m in 0..128 step 128\n  for n in 0..384 step 64\n"
        "    accumulator holds out (128 x 64, 32 KiB)\n    for k in 0..384 step 128\n"
        "      scratchpad holds a, b\n      array: k on rows, n on columns",
        "certificate": "optimal: 4,608 mappings, 312 scored, 4,296 pruned by bound",
    }
    return _operator(name, "matmul", Work.MATMUL, cycles, **(fields | over))


def _decision(name: str, text: str, machine: str, operators: list[OperatorResult]) -> Decision:
    return Decision(
        name=name,
        description=text,
        accelerator=machine,
        clock_hz=1e9,
        peak_macs_per_cycle=256,
        dram_bytes_per_cycle=16.0,
        operators=tuple(operators),
        quality=Quality(
            measures=(
                Measure(key="mean_cosine", label="cosine mean", value=0.9912),
                Measure(key="worst_cosine", label="cosine worst", value=0.9731),
                Measure(key="rank", label=f"rank {HOSTILE}", value=0.8641, spec=".2f", times=100),
            ),
            by_length=(
                LengthAccuracy(
                    least=1, most=16, samples=61, mean_cosine=0.9923, worst_cosine=0.9788
                ),
                LengthAccuracy(
                    least=17, most=32, samples=39, mean_cosine=0.9895, worst_cosine=0.9731
                ),
            ),
        ),
        bit_exact_tensors=0 if machine == "gemmini" else 131,
    )


def _layer(index: int, slower: float, host: bool, fused: bool) -> list[OperatorResult]:
    layer = f"layer{index}"
    square, macs = 128 * 384 * 384, 128 * 384 * 1536
    operators = [
        _matmul(f"{layer}.{n}", square, int(84_000 * slower), int(82_000 * slower))
        for n in ("query", "key", "value", "output")
    ]
    operators += [
        _matmul(f"{layer}.scores", 128 * 384 * 128, int(39_000 * slower), int(40_000 * slower)),
        _matmul(f"{layer}.context", 128 * 384 * 128, int(36_000 * slower), int(35_100 * slower)),
    ]
    gelu = {Work.MATMUL: int(310_000 * slower), Work.ACTIVATION: 2_000}
    if fused:
        wide = _matmul(
            f"{layer}.w1",
            macs,
            sum(gelu.values()),
            305_000,
            fused=(f"{layer}.gelu",),
            cycles_by_work=gelu,
        )
    else:
        wide = _matmul(f"{layer}.w1", macs, int(310_000 * slower), int(325_000 * slower))
    operators += [wide, _matmul(f"{layer}.w2", macs, int(320_000 * slower), int(314_000 * slower))]
    per_element = {"softmax": 48.0, "layernorm": 40.5, "add": 111.2, "gelu": 50.6, "quantize": 35.4}
    elements = {"softmax": 12 * 128 * 128, "layernorm": 98_304, "add": 98_304, "gelu": 196_608}
    elements["quantize"] = 2 * 12 * 128 * 128 + 12 * 128 * 384
    works = (Work.SOFTMAX, Work.NORM, Work.RESIDUAL_ADD, Work.ACTIVATION, Work.QUANTIZATION)
    for work, (kind, count) in zip(works, elements.items(), strict=True):
        if host:
            cycles = int(count * per_element[kind])
            operators.append(_operator(f"{layer}.{kind}", kind, work, cycles))
        elif kind != "quantize" and not (fused and kind == "gelu"):
            operators.append(
                _operator(
                    f"{layer}.{kind}",
                    kind,
                    work,
                    count // 5,
                    unit="vector unit",
                    claim=Claim.SIMULATED,
                    predicted_cycles=count // 5 + 900,
                )
            )
    return operators


@pytest.fixture
def result() -> Optimization:
    """Five decisions of six layers."""
    rows = (
        ("baseline", "Greedy tiles; everything but matmuls on the host.", "gemmini", 1.6, True),
        ("integer-only operators", "i-GELU, i-softmax, i-LayerNorm.", "gemmini-ibert-256-64", 1.6),
        ("memory split 64/256", "More accumulator.", "gemmini-ibert", 1.25),
        ("optimal schedule", "Exact search per operator.", "gemmini-ibert", 1.04),
        (f"fused {HOSTILE}", "Where the search says it gains.", "gemmini-ibert", 1.0),
    )
    decisions = []
    for row in rows:
        name, text, machine, slower, *host = row
        layers = [
            operator
            for index in range(6)
            for operator in _layer(index, slower, bool(host), name.startswith("fused"))
        ]
        layers.append(_operator("pool", "mean_pool", Work.OTHER, 128 * 384 * 35))
        decisions.append(_decision(name, text, machine, layers))
    published = Source(claim=Claim.PUBLISHED, text=f"a paper {HOSTILE}")
    assumed = Source(claim=Claim.ASSUMED, text="a guess that is said")
    sources = {"array.rows": published, "dma.bus_bytes": published, "clock_hz": assumed}
    return Optimization(
        model=f"all-MiniLM-L6-v2 {HOSTILE}",
        seq_len=128,
        task="sentences",
        unit="sentences",
        samples=100,
        calibration_samples=64,
        pairs=1500,
        truncated=0,
        decisions=tuple(decisions),
        sources={"gemmini": sources, "gemmini-ibert": sources},
        files={"integer model": "report/model.safetensors", "mappings": "report/mappings.json"},
        version="0.1.0",
    )
