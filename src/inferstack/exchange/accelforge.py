"""AccelForge's input: architecture, Einsum and mapping, and a mapping of theirs as one of ours.

Written for AccelForge 1.0.467: `frontend/arch/components.py`, `frontend/arch/spatialable.py`,
`frontend/workload.py` and `frontend/mapping/mapping.py` of the installed package, and `examples/`
of Accelergy-Project/accelforge. Energies there are in J, throughputs in bits per second.

What AccelForge counts differently, also written into the files:
- one width of a value per memory. Where DRAM holds partial sums wider than the results, a spilled
  sum would be charged at the result's width; so its mapper is told not to spill;
- a sum that comes back is written to the memory before it is read; ours goes to the adder at once;
- the order of the memories in the nest is fixed for its mapper (`order`), not for its model;
- where two memories on the chip hold outputs, the outer one has one width for sums and results;
- no double buffering (half of the capacity is given), no fill of the array, no bias;
- where a step does not divide, some counts are those of whole tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inferstack.core.errors import InputError
from inferstack.cost.access import stationary
from inferstack.exchange.accelforge_nest import (
    ARRAY,
    MAC,
    REGISTER,
    TOOL,
    component,
    instances,
    mapping_text,
)
from inferstack.exchange.document import Inline, Row, Tagged, document
from inferstack.exchange.format import (
    Files,
    Format,
    check_homes,
    identifier,
    moving_dims,
    split_axes,
)
from inferstack.hardware.accelerator import Accelerator, Level, Role
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Mapping

JOULES_PER_PJ = 1e-12


def files(accelerator: Accelerator, contraction: Contraction, mapping: Mapping | None) -> Files:
    """architecture.yaml, workload.yaml and, with a mapping, mapping.yaml."""
    made = {
        "architecture.yaml": architecture(accelerator, contraction),
        "workload.yaml": workload([contraction], accelerator),
    }
    if mapping is not None:
        made["mapping.yaml"] = mapping_text(mapping, contraction, accelerator)
    return made


FORMAT = Format(tool=TOOL, files=files)


def architecture(
    accelerator: Accelerator, contraction: Contraction, order: Sequence[str] | None = None
) -> str:
    """The machine, for operators of the widths and with the operands of `contraction`.

    order: the levels' names from the outside in, where AccelForge's mapper is to try another order
    than the machine's. Raises InputError for what cannot be said.
    """
    check_homes(accelerator, contraction, TOOL)
    names = [level.name for level in accelerator.levels]
    if order is not None and accelerator.fan_outs:
        raise InputError(
            f"accelerator {accelerator.name}", "has instances that stand inside of its levels",
            got="another order of them",
        )  # fmt: skip
    if order is not None and (sorted(order) != sorted(names) or order[0] != names[0]):
        raise InputError(
            f"accelerator {accelerator.name}", "is no order of its levels", got=list(order),
            need=f"{names[0]} first, then the others",
        )  # fmt: skip
    spill = _spills_are_misjudged(accelerator, contraction)
    array = accelerator.array
    nodes: list[Tagged] = []
    for name in order or names:
        nodes.append(_memory(accelerator.level(name), accelerator, contraction, spill))
        for fan_out in accelerator.fan_outs:
            if fan_out.below == name:
                axes = [(axis.name, axis.size, dims_of(axis.name)) for axis in fan_out.axes]
                nodes.append(_container(instances(fan_out), axes))
    sides = [("row", array.rows, dims_of("row")), ("column", array.columns, dims_of("column"))]
    nodes.append(_container(ARRAY, sides))
    nodes += _register(accelerator, contraction)
    compute = Inline(
        name="compute", energy=array.mac_pj * JOULES_PER_PJ, throughput=accelerator.clock_hz
    )
    nodes.append(Tagged("Compute", {"name": MAC, "leak_power": 0, "area": 0, "actions": [compute]}))
    return document({"arch": {"nodes": nodes}}, _remarks(accelerator, contraction, spill))


def dims_of(axis: str) -> str:
    """The name that stands for the dimensions which may run along an axis."""
    return f"{axis}_dims"


def _container(name: str, axes: Sequence[tuple[str, int, str]]) -> Tagged:
    """Instances side by side, by name, number and dimensions of each axis."""
    spatial = [
        {
            "name": axis,
            "fanout": size,
            "loop_bounds": [Inline(expression=f"~{dims}", operator="==", value=1)],
        }
        for axis, size, dims in axes
    ]
    return Tagged("Container", {"name": name, "spatial": spatial})


def _remarks(accelerator: Accelerator, contraction: Contraction, spill: bool) -> list[str]:
    array, dram = accelerator.array, accelerator.levels[0]
    rows, columns = ", ".join(array.row_dims), ", ".join(array.column_dims)
    remarks = [
        f"{accelerator.name}, written by InferStack for {TOOL}. J, bits, bits per second.",
        f"{rows} may run along the rows of the array, {columns} along its columns.",
        "What a sum that comes back costs is more here: it is written to the memory, then read.",
        "The order of the memories is free in InferStack; AccelForge's mapper takes this one.",
    ]
    bits = contraction.by_role(Role.OUTPUT).bits
    if spill:
        remarks.append(
            f"{dram.name} holds partial sums of {dram.partial_sum_bits} bits and results of {bits} "
            f"bits; here it has one width, {bits} bits, so that the mapper may not spill."
        )
    outputs = [level for level in accelerator.levels[1:] if Role.OUTPUT in level.holds]
    if len(outputs) > 1 and outputs[0].partial_sum_bits != bits:
        remarks.append(
            f"{outputs[0].name} has one width for outputs here, that of a partial sum; in "
            "InferStack a result that is handed on to it has its own width."
        )
    halved = [level.name for level in accelerator.levels if level.double_buffered]
    if halved:
        remarks.append(f"Double buffered, so half of the capacity stands here: {', '.join(halved)}")
    if array.fill_cycles or accelerator.has_dma:
        remarks.append(
            "Left out: the fill of the array and the latencies and queues of a DMA engine."
        )
    if contraction.bias_bits is not None:
        remarks.append("Left out: the bias, which is read once.")
    return remarks


def _spills_are_misjudged(accelerator: Accelerator, contraction: Contraction) -> bool:
    return accelerator.levels[0].partial_sum_bits != contraction.by_role(Role.OUTPUT).bits


def _memory(
    level: Level, accelerator: Accelerator, contraction: Contraction, spill: bool
) -> Tagged:
    outermost = level is accelerator.levels[0]
    feeds = [role.value for role in Role if accelerator.feeding(role) is level]
    may = [role.value for role in Role if role in level.holds and role.value not in feeds]
    tensors: dict[str, Any] = {"keep": "All" if outermost else " | ".join(feeds) or "Nothing"}
    if may and not outermost:
        tensors["may_keep"] = " | ".join(may)
    first = next((v for v in accelerator.levels[1:] if Role.OUTPUT in v.holds), None)
    if spill and level is first:
        tensors["no_refetch_from_above"] = Role.OUTPUT.value
    content: dict[str, Any] = {
        "name": component(level.name),
        "size": "inf" if level.usable_bytes is None else 8 * level.usable_bytes,
        "leak_power": 0,
        "area": 0,
        "tensors": Inline(tensors),
    }
    if Role.OUTPUT in level.holds and not outermost:
        content["bits_per_value"] = Inline({Role.OUTPUT.value: level.partial_sum_bits})
    ports = "sum" if level.shared_port else "max"
    content["total_latency"] = f"{ports}(a.n_calls / a.throughput for a in actions)"
    write = level.read_bytes_per_cycle if level.shared_port else level.write_bytes_per_cycle
    rates = {
        "read": (level.read_pj_per_byte, level.read_bytes_per_cycle),
        "write": (level.write_pj_per_byte, write),
    }
    content["actions"] = [
        Inline(
            name=action,
            energy=pj / 8 * JOULES_PER_PJ,
            throughput=8 * rate * accelerator.clock_hz,
            bits_per_action=1,
        )
        for action, (pj, rate) in rates.items()
    ]
    return Tagged("Memory", content)


def _register(accelerator: Accelerator, contraction: Contraction) -> list[Tagged]:
    """The registers of the operand that the array keeps: loading them all takes pass_cycles."""
    held = stationary(accelerator)
    if held is None:
        return []
    bits = contraction.by_role(held).bits
    content: dict[str, Any] = {"name": REGISTER, "leak_power": 0, "area": 0}
    if held is Role.OUTPUT:
        bits = accelerator.feeding(held).partial_sum_bits
        content["bits_per_value"] = Inline({held.value: bits})
    loads = bits * accelerator.clock_hz / accelerator.array.pass_cycles
    content |= {
        "size": bits,
        "tensors": Inline(keep=held.value),
        "total_latency": "max(a.n_calls / a.throughput for a in actions)",
        "actions": [
            Inline(name="read", energy=0, throughput="inf", bits_per_action=1),
            Inline(name="write", energy=0, throughput=loads, bits_per_action=1),
        ],
    }
    return [Tagged("Memory", content)]


def workload(contractions: Sequence[Contraction], accelerator: Accelerator) -> str:
    """One Einsum per operator; of several, dimensions and tensors end in the operator's number.

    Dimensions of extent 1 are left out. An axis that several dimensions make up like digits is
    written as one axis each. The renames row_dims, column_dims and so on are what the
    architecture's axes ask for.
    """
    sizes: dict[str, int] = {}
    einsums = []
    for number, contraction in enumerate(contractions):
        own = str(number) if len(contractions) > 1 else ""
        kept = moving_dims(contraction)
        sizes |= {f"{name}{own}".upper(): extent for name, extent in kept.items()}
        accesses, renames = [], dict[str, str]()
        for operand in contraction.operands:
            access = Inline(
                name=f"{operand.slot}{own}",
                projection=_projection(split_axes(contraction, operand.slot, kept), own),
                bits_per_value=operand.bits,
            )
            if operand.role is Role.OUTPUT:
                access["output"] = True
            accesses.append(access)
            renames[operand.role.value] = access["name"]
        array = accelerator.array
        allowed = [("row", array.row_dims), ("column", array.column_dims)]
        allowed += [(axis.name, axis.dims) for fan in accelerator.fan_outs for axis in fan.axes]
        for axis, dims in allowed:
            here = [f"{dim}{own}" for dim in dims if dim in kept]
            one = f"{next(iter(kept))}{own}"
            renames[dims_of(axis)] = " | ".join(here) if here else f"{one} & ~{one}"
        einsums.append(
            {
                "name": identifier(contraction.name),
                "tensor_accesses": accesses,
                "renames": Inline(renames),
            }
        )
    remarks = [f"Written by InferStack for {TOOL}."]
    return document({"workload": {"rank_sizes": Inline(sizes), "einsums": einsums}}, remarks)


def _projection(axes: list[list[tuple[str, int]]], own: str) -> Row | Inline:
    """A list of dimensions, or expressions by the name of the axis."""
    if all(len(axis) == 1 and axis[0][1] == 1 for axis in axes):
        return Row(f"{axis[0][0]}{own}" for axis in axes)
    found = Inline()
    for axis in axes:
        terms = [
            f"{name}{own}" if coefficient == 1 else f"{coefficient}*{name}{own}"
            for name, coefficient in axis
        ]
        rank = "_".join(name for name, _ in axis) + own
        found[rank.upper()] = " + ".join(terms)
    return found
