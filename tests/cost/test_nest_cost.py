"""The cost of nests on the common target: what an independent referee found for them."""

from __future__ import annotations

import pytest

from inferstack.core.errors import AcceleratorError, MappingError
from inferstack.cost.cost import cost
from inferstack.cost.programs.pack import machine
from inferstack.hardware.load import load_accelerator
from inferstack.mapping.nest import Loop, Mapping, Node, Spatial, Store
from inferstack.mapping.shapes import matmul

MEMORIES = {"a": "scratchpad", "b": "scratchpad", "out": "accumulator"}


def nest(text: str, extents: dict[str, int]) -> tuple[Node, ...]:
    """ "m2 a n48 b out k48 m256" (factors of loops, stores) with k16 and n16 in the array."""
    left, nodes = dict(extents), list[Node]()
    for word in text.split():
        if word in MEMORIES:
            nodes.append(Store(word, MEMORIES[word]))
            continue
        left[word[0]] //= int(word[1:])
        nodes.append(Loop(word[0], left[word[0]]))
    return (*nodes, Spatial("k", 16, "row"), Spatial("n", 16, "column"))


# Source: a script independent of this package that scores nests on the same target, run beside
# AccelForge, ZigZag and Timeloop. M x K x N, the best mapping found by any of them, uJ, cycles.
REFEREE = {
    "qk": ((512, 64, 512), "a n32 b out k4 m512", 35.85, 65_536),
    "av": ((512, 512, 64), "b m2 a n4 out k32 m256", 36.37, 65_536),
    "proj": ((512, 768, 768), "m2 a n48 b out k48 m256", 395.58, 1_179_648),
    "ffn1": ((512, 768, 3072), "m2 a n192 b out k48 m256", 1504.44, 4_718_592),
    "ffn2": ((512, 3072, 768), "m4 n6 out k192 a b n8 m128", 2346.71, 4_718_592),
    "ffn2 with one spill": (
        (512, 3072, 768),
        "m4 k2 a n24 b out n2 k96 m128",
        2028.99,
        4_718_592,
    ),
}


@pytest.mark.parametrize("name", REFEREE)
def test_the_referee_s_figures(name: str) -> None:
    (m, k, n), text, energy_uj, cycles = REFEREE[name]
    target, wanted = load_accelerator("peers-target"), matmul(m=m, n=n, k=k)
    mapping = Mapping(operator=name, accelerator=target.name, nodes=nest(text, wanted.extents))
    found = cost(mapping, wanted, target)
    assert found == cost(mapping, wanted, target)
    assert round(found.energy_pj / 1e6, 2) == energy_uj
    assert found.cycles == cycles
    assert found.bound_by == "array"


def test_a_spill_costs_four_bytes_out_and_four_back_and_one_in_the_end() -> None:
    (m, k, n), text, _, _ = REFEREE["ffn2 with one spill"]
    target, wanted = load_accelerator("peers-target"), matmul(m=m, n=n, k=k)
    mapping = Mapping(operator="t", accelerator="t", nodes=nest(text, wanted.extents))
    out = cost(mapping, wanted, target).accesses["dram", "out"]
    assert (out.written_bytes, out.read_bytes) == (m * n * (4 + 1), m * n * 4)


def test_a_machine_without_a_dma_engine_says_so_where_one_is_needed() -> None:
    with pytest.raises(AcceleratorError) as error:
        machine(load_accelerator("peers-target"))
    assert str(error.value) == (
        "accelerator peers-target, dma: missing\n\n"
        "hint: this needs a machine whose description has `dma`, such as gemmini"
    )


def test_a_tile_over_the_capacity_is_refused() -> None:
    target, wanted = load_accelerator("peers-target"), matmul(m=512, n=512, k=64)
    nodes = nest("a b out k4 m512 n32", wanted.extents)
    with pytest.raises(MappingError) as error:
        cost(Mapping(operator="qk", accelerator="t", nodes=nodes), wanted, target)
    assert str(error.value) == (
        "mapping of qk: does not fit the accumulator of peers-target, tensor out of matmul; got "
        "1048576 bytes, need at most 65536\n\n"
        "hint: a smaller tile of out; or a larger accumulator"
    )
