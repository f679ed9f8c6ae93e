"""What is exported says the same machine, operator and mapping. `test_exchange_run` runs it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml

from inferstack.core.errors import InputError, MappingError, UnknownNameError
from inferstack.exchange import accelforge, accelforge_nest, timeloop, timeloop_nest
from inferstack.exchange.format import export, formats
from inferstack.hardware.accelerator import Accelerator, Axis, FanOut
from inferstack.hardware.load import load_accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Loop, Mapping, Spatial, Store
from inferstack.mapping.shapes import attention_scores, convolution, matmul

QK = matmul(m=512, n=512, k=64, name="qk")
FFN2 = matmul(m=512, n=768, k=3072, name="ffn2")
STRIDED = convolution(n=64, c=64, p=28, q=28, r=3, s=3, stride=2, name="strided")
GROUPED = attention_scores(heads=8, kv_heads=2, m=64, n=64, k=64, name="grouped")
ARRAY = (Spatial("k", 16, "row"), Spatial("n", 16, "column"))
QK_NODES = (
    Store("a", "scratchpad"),
    Loop("n", 16),
    Store("b", "scratchpad"),
    Store("out", "accumulator"),
    Loop("k", 16),
    Loop("m", 1),
    *ARRAY,
)


def target(**changes: Any) -> Accelerator:
    """The common target, or one that differs."""
    return dataclasses.replace(load_accelerator("peers-target"), **changes)


def with_level(name: str, /, **changes: Any) -> Accelerator:
    """The common target with another memory."""
    levels = [
        dataclasses.replace(level, **changes) if level.name == name else level
        for level in target().levels
    ]
    return target(levels=tuple(levels))


def mapping(operator: Contraction, *nodes: Loop | Store | Spatial) -> Mapping:
    return Mapping(operator=operator.name, accelerator="peers-target", nodes=nodes)


class _Tags(yaml.SafeLoader):
    """Reads AccelForge's tags as one more key."""


def _tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    assert isinstance(node, yaml.MappingNode)
    content: dict[Any, Any] = loader.construct_mapping(node, deep=True)
    return {"tag": suffix, **content}


_Tags.add_multi_constructor("!", _tag)


def read(text: str) -> Any:
    return yaml.load(text, Loader=_Tags)


def test_both_tools_are_found_by_being_there() -> None:
    assert sorted(formats()) == ["accelforge", "timeloop"]


def test_an_unknown_tool() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'timeloop'"):
        export("timelop", target(), [(QK, None)])


@pytest.mark.parametrize("tool", ["accelforge", "timeloop"])
def test_the_same_input_gives_the_same_text(tool: str) -> None:
    operators = [(QK, mapping(QK, *QK_NODES)), (STRIDED, None)]
    first = export(tool, target(), operators)
    assert first == export(tool, target(), operators)
    assert {place.split("/")[0] for place in first} == {"qk", "strided"}
    assert all(yaml.compose(text, Loader=yaml.SafeLoader) for text in first.values())


def test_one_of_several_operators_that_cannot_be_expressed_has_the_reason_in_its_folder() -> None:
    wide = matmul(m=512, n=512, k=64, output_bits=32, name="wide")
    made = export("timeloop", target(), [(QK, None), (wide, None)])
    assert "qk/problem.yaml" in made
    assert [place for place in made if place.startswith("wide")] == ["wide/not-exported.txt"]
    assert "one width of a word; got a, b, out of 8 and 32 bits" in made["wide/not-exported.txt"]
    with pytest.raises(InputError, match="one width of a word"):
        export("timeloop", target(), [(wide, None)])


def test_two_operators_of_one_name() -> None:
    with pytest.raises(InputError, match="two operators would be written to one folder; got qk"):
        export("accelforge", target(), [(QK, None), (QK, None)])


def test_accelforge_gets_every_number_in_its_units() -> None:
    nodes = read(accelforge.architecture(target(), QK))["arch"]["nodes"]
    assert [(node["tag"], node["name"]) for node in nodes] == [
        ("Memory", "dram"),
        ("Memory", "scratchpad"),
        ("Memory", "accumulator"),
        ("Container", "array"),
        ("Memory", "register"),
        ("Compute", "mac"),
    ]
    dram, scratchpad, accumulator, array, register, mac = nodes
    assert scratchpad["size"] == 256 * 1024 * 8
    assert [float(action["energy"]) for action in scratchpad["actions"]] == [0.25e-12, 0.25e-12]
    assert float(dram["actions"][0]["throughput"]) == 16 * 8 * 1e9
    assert dram["total_latency"].startswith("sum")
    assert scratchpad["total_latency"].startswith("max")
    assert accumulator["bits_per_value"] == {"output": 32}
    assert [side["fanout"] for side in array["spatial"]] == [16, 16]
    assert register["tensors"] == {"keep": "weight"}
    assert float(mac["actions"][0]["energy"]) == 0.25e-12


def test_what_accelforge_would_misjudge_is_forbidden_and_said() -> None:
    text = accelforge.architecture(target(), QK)
    accumulator = read(text)["arch"]["nodes"][2]
    assert accumulator["tensors"]["no_refetch_from_above"] == "output"
    assert "# dram holds partial sums of 32 bits and results of 8 bits" in text
    wide = matmul(m=512, n=512, k=64, output_bits=32)
    assert "no_refetch_from_above" not in accelforge.architecture(target(), wide)


def test_half_of_a_double_buffered_memory_is_exported() -> None:
    text = accelforge.architecture(with_level("scratchpad", double_buffered=True), QK)
    assert read(text)["arch"]["nodes"][1]["size"] == 128 * 1024 * 8
    assert "# Double buffered" in text


def test_another_order_of_the_memories() -> None:
    swapped = accelforge.architecture(target(), QK, ["dram", "accumulator", "scratchpad"])
    names = [node["name"] for node in read(swapped)["arch"]["nodes"]]
    assert names[:3] == ["dram", "accumulator", "scratchpad"]
    with pytest.raises(InputError, match="is no order of its levels"):
        accelforge.architecture(target(), QK, ["accumulator", "dram", "scratchpad"])


def test_an_axis_made_of_digits_is_written_as_several() -> None:
    (einsum,) = read(accelforge.workload([GROUPED], target()))["workload"]["einsums"]
    projections = {access["name"]: access["projection"] for access in einsum["tensor_accesses"]}
    assert projections == {
        "query": ["m", "g", "r", "k"],
        "key": ["n", "g", "k"],
        "out": ["g", "r", "m", "n"],
    }


def test_a_sliding_window_is_written_as_an_expression() -> None:
    content = read(accelforge.workload([STRIDED], target()))["workload"]
    window = content["einsums"][0]["tensor_accesses"][0]["projection"]
    assert window == {"C": "c", "P_R": "2*p + r", "Q_S": "2*q + s"}
    assert content["rank_sizes"] == {"N": 64, "C": 64, "P": 28, "Q": 28, "R": 3, "S": 3}
    problem = read(timeloop.problem(STRIDED))["problem"]
    assert problem["shape"]["data_spaces"][0]["projection"] == [
        [["C"]],
        [["P", "times2"], ["R"]],
        [["Q", "times2"], ["S"]],
    ]
    assert problem["instance"]["times2"] == 2


def test_several_operators_in_one_workload_do_not_share_names() -> None:
    content = read(accelforge.workload([QK, FFN2], target()))["workload"]
    assert content["rank_sizes"] == {
        "M0": 512,
        "N0": 512,
        "K0": 64,
        "M1": 512,
        "N1": 768,
        "K1": 3072,
    }
    assert [einsum["renames"]["row_dims"] for einsum in content["einsums"]] == ["k0", "k1"]


def test_a_tile_is_written_where_it_is_kept() -> None:
    early = mapping(
        FFN2,
        Store("b", "scratchpad"),
        Loop("n", 64),
        Loop("m", 64),
        Store("out", "accumulator"),
        Loop("k", 64),
        Store("a", "scratchpad"),
        Loop("n", 16),
        Loop("k", 16),
        Loop("m", 1),
        *ARRAY,
    )
    roomy = with_level("scratchpad", capacity_bytes=1 << 30)
    nodes = read(accelforge_nest.mapping_text(early, FFN2, roomy))["mapping"]["nodes"]
    short = [node.get("rank_variable") or node.get("tensors", ["mac"])[0] for node in nodes]
    assert short == ["a", "b", "n", "m", "out", "k", "a", "n", "k", "k", "n", "b", "m", "mac"]


def test_a_mapping_of_accelforge_comes_back_as_the_same_nest() -> None:
    nodes = read(accelforge_nest.mapping_text(mapping(QK, *QK_NODES), QK, target()))["mapping"][
        "nodes"
    ]
    plain = [{**node, "node": node["tag"]} for node in nodes]
    assert accelforge_nest.mapping_from(plain, QK, target()).nodes == QK_NODES


def test_timeloop_gets_a_level_for_each_store_in_the_order_of_the_mapping() -> None:
    made = timeloop.files(target(), QK, mapping(QK, *QK_NODES))
    (system,) = read(made["architecture.yaml"])["architecture"]["subtree"]
    assert [level["name"] for level in system["local"]] == [
        "dram[1..1]",
        "scratchpad_a[1..1]",
        "scratchpad_b[1..1]",
        "accumulator_out[1..1]",
        "register[1..256]",
        "mac[1..256]",
    ]
    accumulator = system["local"][3]["attributes"]
    assert accumulator["depth"] * accumulator["datawidth"] == 64 * 1024 * 8
    assert accumulator["vector_access_energy"] == 4.0
    directives = read(made["mapping.yaml"])["mapping"]
    loops = {(d["target"], d["type"]): d["factors"] for d in directives if d["type"] != "bypass"}
    assert loops == {
        ("dram", "temporal"): "M=1 N=1 K=1",
        ("scratchpad_a", "temporal"): "M=1 N=32 K=1",
        ("scratchpad_b", "temporal"): "M=1 N=1 K=1",
        ("accumulator_out", "temporal"): "M=1 N=1 K=4",
        ("accumulator_out", "spatial"): "M=1 N=16 K=16",
        ("register", "temporal"): "M=512 N=1 K=1",
    }


def test_timeloops_factors_cover_a_dimension_that_does_not_divide() -> None:
    """Its own check, `(((r3-1)*f2 + r2-1)*f1 + r1-1)*f0 + r0`: src/mapping/parser.cpp."""
    uneven = mapping(
        FFN2,
        Loop("n", 160),
        Loop("k", 1536),
        Store("b", "scratchpad"),
        Loop("m", 86),
        Store("out", "accumulator"),
        Loop("k", 16),
        Store("a", "scratchpad"),
        Loop("n", 16),
        Loop("m", 1),
        *ARRAY,
    )
    directives = read(timeloop_nest.mapping_text(uneven, FFN2, target()))["mapping"]
    ordered = [d["factors"] for d in directives if d["type"] != "bypass"]
    covered = dict.fromkeys("MNK", 0)
    for factors in ordered:
        for factor in factors.split():
            dim, written = factor.split("=")
            every, _, last = written.partition(",")
            covered[dim] = covered[dim] * int(every) + int(last or every) - 1
    assert {dim: size + 1 for dim, size in covered.items()} == {"M": 512, "N": 768, "K": 3072}
    assert "N=10,8" in ordered[3]


def test_timeloops_mapper_is_told_what_each_memory_keeps() -> None:
    made = timeloop.files(target(), STRIDED, None)
    assert sorted(made) == [
        "architecture.yaml",
        "constraints.yaml",
        "mapper.yaml",
        "problem.yaml",
    ]
    targets = read(made["constraints.yaml"])["architecture_constraints"]["targets"]
    assert targets[0] == {
        "target": "scratchpad",
        "type": "bypass",
        "keep": ["x", "weight"],
        "bypass": ["out"],
    }
    assert targets[-1]["factors"] == "P=1 Q=1 R=1 S=1"


AXIS = Axis(name="x", size=4, dims=("m",))


def test_accelforge_gets_instances_side_by_side() -> None:
    many = target(fan_outs=(FanOut(below="dram", axes=(AXIS,)),))
    side = mapping(QK, Spatial("m", 4, "x", 128), *QK_NODES)
    made = accelforge.files(many, QK, side)
    container = read(made["architecture.yaml"])["arch"]["nodes"][1]
    assert (container["tag"], container["name"]) == ("Container", "below_dram")
    assert [(axis["name"], axis["fanout"]) for axis in container["spatial"]] == [("x", 4)]
    nodes = read(made["mapping.yaml"])["mapping"]["nodes"]
    assert nodes[1] == {
        "tag": "Spatial",
        "rank_variable": "m",
        "tile_shape": 128,
        "name": "x",
        "component": "below_dram",
    }
    (einsum,) = read(made["workload.yaml"])["workload"]["einsums"]
    assert einsum["renames"]["x_dims"] == "m"
    plain = [{**node, "node": node["tag"]} for node in nodes]
    assert accelforge_nest.mapping_from(plain, QK, many).nodes == side.nodes


def test_timeloop_does_not() -> None:
    many = target(fan_outs=(FanOut(below="dram", axes=(AXIS,)),))
    with pytest.raises(InputError) as error:
        export("timeloop", many, [(QK, None)])
    assert str(error.value) == (
        "accelerator peers-target: instances side by side are not exported to Timeloop (master, "
        "March 2025); got a fan-out below dram, need one instance of every level"
    )


def test_names_that_accelforge_keeps_to_itself() -> None:
    nodes = read(accelforge.architecture(with_level("scratchpad", name="global_buffer"), QK))
    assert nodes["arch"]["nodes"][1]["name"] == "memory_global_buffer"


@pytest.mark.parametrize("tool", ["accelforge", "timeloop"])
def test_what_no_format_says_is_refused(tool: str) -> None:
    on_chip = dataclasses.replace(QK.operands[0], origin="scratchpad")
    near = dataclasses.replace(QK, operands=(on_chip, *QK.operands[1:]))
    with pytest.raises(InputError, match="got a from scratchpad, need every operand from dram"):
        export(tool, target(), [(near, None)])
    fused = dataclasses.replace(mapping(QK, *QK_NODES), fused=("gelu",))
    with pytest.raises(InputError, match=r"fused operators are not exported .* got gelu"):
        export(tool, target(), [(QK, fused)])
    with pytest.raises(MappingError, match="the factors do not cover the dimension m"):
        export(tool, target(), [(QK, mapping(QK, *ARRAY))])


def test_widths_and_energies_that_timeloop_has_one_of() -> None:
    wide = matmul(m=512, n=512, k=64, output_bits=32)
    with pytest.raises(InputError) as error:
        timeloop.architecture(target(), wide)
    assert str(error.value) == (
        "accelerator peers-target, dram: Timeloop gives a memory one width of a word; got a, b, "
        "out of 8 and 32 bits, need operands of one width"
    )
    with pytest.raises(InputError, match=r"one energy for reads and writes; got 3 and 2\.0 pJ"):
        timeloop.architecture(with_level("scratchpad", read_pj_per_byte=3), QK)
