"""Timeloop's input: architecture, problem, and a mapping for timeloop-model or constraints.

Written for NVlabs/timeloop, master of March 2025 (keywords with underscores): attributes as in
`src/model/buffer.cpp` and `src/model/arithmetic.cpp`, the tree as `src/model/topology.cpp` walks
it, directives as in `src/mapping/parser.cpp`, forms as in `workspace/example_designs`. Timeloop has
no package, so the files are checked for their structure and were not run by us. Energies are in pJ,
bandwidths in words per cycle and instance.

What Timeloop says or counts differently, also written into the files:
- a memory has one width of a word, and one energy for reads and writes (InputError otherwise); a
  partial sum that is spilled to DRAM has the width of a result;
- a memory has one place in the nest, for all that it keeps. For a mapping each operand of a memory
  is written as a level of its own, in the order of the mapping, each with the whole capacity: that
  they fit together was checked before. For the mapper the memories keep the machine's order;
- the read of the accumulator as a result leaves is not counted;
- no pass or fill cycles of the array, no bias; a word of DRAM is one element.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inferstack.core.errors import InputError
from inferstack.cost.access import stationary
from inferstack.exchange.document import Inline, Row, document
from inferstack.exchange.format import (
    Files,
    Format,
    check_homes,
    check_one_instance,
    identifier,
    moving_dims,
    split_axes,
)
from inferstack.exchange.timeloop_nest import (
    REGISTER,
    TOOL,
    Place,
    letters,
    mapping_text,
    places_of,
)
from inferstack.hardware.accelerator import Accelerator, Level, Role
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Mapping

VERSION = "0.4"


def files(accelerator: Accelerator, contraction: Contraction, mapping: Mapping | None) -> Files:
    """architecture.yaml, problem.yaml, and mapping.yaml, or constraints.yaml and mapper.yaml."""
    made = {
        "architecture.yaml": architecture(accelerator, contraction, mapping),
        "problem.yaml": problem(contraction),
    }
    if mapping is not None:
        return made | {"mapping.yaml": mapping_text(mapping, contraction, accelerator)}
    made["constraints.yaml"] = constraints(accelerator, contraction)
    mapper = {
        "version": VERSION,
        "algorithm": "linear_pruned",
        "optimization_metrics": Row(["edp"]),
        "live_status": False,
    }
    return made | {"mapper.yaml": document({"mapper": mapper}, [f"For {TOOL}."])}


FORMAT = Format(tool=TOOL, files=files)


def problem(contraction: Contraction) -> str:
    """The operator. Dimensions of extent 1 are left out; names become single letters."""
    kept = moving_dims(contraction)
    letter = letters(kept)
    spaces = []
    for operand in contraction.operands:
        axes = split_axes(contraction, operand.slot, kept)
        projection = [
            Row(
                Row([letter[name]] if factor == 1 else [letter[name], _coefficient(factor)])
                for name, factor in axis
            )
            for axis in axes
        ]
        space: dict[str, Any] = {"name": operand.slot, "projection": projection}
        if operand.role is Role.OUTPUT:
            space["read_write"] = True
        spaces.append(space)
    factors = sorted(
        {
            factor
            for operand in contraction.operands
            for axis in split_axes(contraction, operand.slot, kept)
            for _, factor in axis
            if factor != 1
        }
    )
    shape: dict[str, Any] = {
        "name": identifier(contraction.name),
        "dimensions": Row(letter.values()),
    }
    instance = {letter[name]: extent for name, extent in kept.items()}
    if factors:
        shape["coefficients"] = [Inline(name=_coefficient(f), default=f) for f in factors]
        instance |= {_coefficient(factor): factor for factor in factors}
    shape["data_spaces"] = spaces
    content = {"version": VERSION, "shape": shape, "instance": Inline(instance)}
    named = ", ".join(f"{letter[name]} is {name}" for name in kept)
    return document(
        {"problem": content}, [f"{contraction.name}, written by InferStack for {TOOL}.", named]
    )


def _coefficient(factor: int) -> str:
    return f"times{factor}"


def architecture(
    accelerator: Accelerator, contraction: Contraction, mapping: Mapping | None = None
) -> str:
    """The machine; with a mapping, a level for each of its stores. Raises InputError."""
    check_one_instance(accelerator, TOOL)
    check_homes(accelerator, contraction, TOOL)
    dram = accelerator.levels[0]
    if mapping is None:
        places = [
            Place(level.name, level, tuple(_held(level, contraction)), 0)
            for level in accelerator.levels[1:]
        ]
    else:
        places = places_of(mapping, contraction, accelerator)
    slots = [operand.slot for operand in contraction.operands]
    local = [_storage(Place(dram.name, dram, tuple(slots), 0), accelerator, contraction)]
    local += [_storage(place, accelerator, contraction) for place in places]
    array = accelerator.array
    mesh = {"meshX": array.columns, "meshY": array.rows}
    instances = f"[1..{array.macs_per_cycle}]"
    held = stationary(accelerator)
    if held is not None:
        bits = contraction.by_role(held).bits
        attributes = {"datawidth": bits, "width": bits, "depth": 1, "vector_access_energy": 0.0}
        local.append(
            {"name": REGISTER + instances, "class": "storage", "attributes": attributes | mesh}
        )
    mac = {"datawidth": contraction.by_role(Role.INPUT).bits, "energy": array.mac_pj} | mesh
    local.append({"name": f"mac{instances}", "class": "intmac", "attributes": mac})
    seconds = 1 / accelerator.clock_hz
    system = {
        "name": "system",
        "attributes": {"technology": "45nm", "global_cycle_seconds": seconds},
        "local": local,
    }
    content = {"version": VERSION, "subtree": [system]}
    return document({"architecture": content}, _remarks(accelerator, contraction, mapping))


def _remarks(
    accelerator: Accelerator, contraction: Contraction, mapping: Mapping | None
) -> list[str]:
    array, dram = accelerator.array, accelerator.levels[0]
    rows, columns = ", ".join(array.row_dims), ", ".join(array.column_dims)
    bits = contraction.by_role(Role.OUTPUT).bits
    remarks = [
        f"{accelerator.name}, written by InferStack for {TOOL}. pJ, words per cycle.",
        f"{rows} may run along the rows (Y) of the array, {columns} along its columns (X).",
        "Left out: the read of a result as it leaves the accumulator; the array's passes and fill.",
    ]
    if dram.partial_sum_bits != bits:
        remarks.append(
            f"{dram.name} holds partial sums of {dram.partial_sum_bits} bits and results of {bits} "
            f"bits; here it has one width, {bits} bits, so that a spilled sum is too cheap."
        )
    if mapping is not None:
        remarks.append(
            "Each operand of a memory is a level of its own, in the order of the mapping, with the "
            "whole capacity: Timeloop gives a level one place in the nest."
        )
    return remarks


def _held(level: Level, contraction: Contraction) -> Iterable[str]:
    return (operand.slot for operand in contraction.operands if operand.role in level.holds)


def _storage(place: Place, accelerator: Accelerator, contraction: Contraction) -> dict[str, Any]:
    """A memory, for the operands that it keeps here."""
    level, outermost = place.level, place.level is accelerator.levels[0]
    where = f"accelerator {accelerator.name}, {level.name}"
    widths = set()
    for slot in place.slots:
        operand = contraction.operand(slot)
        inside = operand.role is Role.OUTPUT and not outermost
        widths.add(level.partial_sum_bits if inside else operand.bits)
    if len(widths) != 1:
        raise InputError(
            where,
            "Timeloop gives a memory one width of a word",
            got=f"{', '.join(place.slots)} of {' and '.join(map(str, sorted(widths)))} bits",
            need="operands of one width",
        )
    if level.read_pj_per_byte != level.write_pj_per_byte:
        raise InputError(
            where,
            "Timeloop gives a memory one energy for reads and writes",
            got=f"{level.read_pj_per_byte} and {level.write_pj_per_byte} pJ per byte",
        )
    (bits,) = widths
    attributes: dict[str, Any] = {"datawidth": bits, "width": bits}
    if level.capacity_bytes is not None:
        attributes["depth"] = 8 * level.capacity_bytes // bits
    attributes["multiple_buffering"] = 2 if level.double_buffered else 1
    attributes["vector_access_energy"] = level.read_pj_per_byte * bits / 8
    if level.shared_port:
        attributes["shared_bandwidth"] = 8 * level.read_bytes_per_cycle / bits
    else:
        attributes["read_bandwidth"] = 8 * level.read_bytes_per_cycle / bits
        attributes["write_bandwidth"] = 8 * level.write_bytes_per_cycle / bits
    kind = "DRAM" if level.capacity_bytes is None else "SRAM"
    return {"name": f"{place.name}[1..1]", "class": kind, "attributes": attributes}


def constraints(accelerator: Accelerator, contraction: Contraction) -> str:
    """What each memory keeps, and which dimensions run along the array, for timeloop-mapper."""
    kept = moving_dims(contraction)
    letter = letters(kept)
    slots = [operand.slot for operand in contraction.operands]
    targets: list[dict[str, Any]] = []
    for level in accelerator.levels[1:]:
        held = list(_held(level, contraction))
        needed = [
            slot for slot in held if accelerator.feeding(contraction.operand(slot).role) is level
        ]
        directive = {"target": level.name, "type": "bypass", "keep": Row(needed)}
        directive["bypass"] = Row(slot for slot in slots if slot not in held)
        targets.append(directive)
    stays = stationary(accelerator)
    if stays is not None:
        own = contraction.by_role(stays).slot
        others = Row(slot for slot in slots if slot != own)
        targets.append({"target": REGISTER, "type": "bypass", "keep": Row([own]), "bypass": others})
    array = accelerator.array
    across = [name for name in kept if name in array.column_dims]
    down = [name for name in kept if name in array.row_dims and name not in across]
    still = [name for name in kept if name not in (*across, *down)]
    spatial: dict[str, Any] = {
        "target": accelerator.levels[-1].name,
        "type": "spatial",
        "permutation": "".join(letter[name] for name in (*across, *still, *down)),
        "split": len(across) + len(still),
    }
    if still:
        spatial["factors"] = " ".join(f"{letter[name]}=1" for name in still)
    targets.append(spatial)
    return document({"architecture_constraints": {"targets": targets}}, [f"For {TOOL}."])
