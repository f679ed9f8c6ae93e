"""A mapping of ours as one of AccelForge's, and one that its mapper found as one of ours.

AccelForge puts a tile where its node stands and loads it there again at every pass; ours stays
while no loop moves it. So a tile's node is written below the innermost loop around it that moves
it. The array's spatial nodes and registers follow below the last loop that moves the operand that
the array keeps, and the loops that it is kept over come last.
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from typing import Any

from inferstack.core.errors import InputError
from inferstack.cost.access import stationary
from inferstack.exchange.document import Inline, Row, Tagged, document
from inferstack.exchange.format import (
    Passage,
    check_homes,
    check_mapping,
    identifier,
    placed,
    register_depth,
)
from inferstack.exchange.format import steps_divide as all_steps_divide
from inferstack.hardware.accelerator import Accelerator, FanOut
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Loop, Mapping, Node, Spatial, Store

TOOL = "AccelForge 1.0.467"
ARRAY, REGISTER, MAC = "array", "register", "mac"
AXES = ("row", "column")


def component(level: str) -> str:
    """The name of a level there: an identifier that does not begin with the reserved `global_`.

    Source: `util/_basetypes.py` of the installed package, the check of global variables.
    """
    made = identifier(level)
    return f"memory_{made}" if made.startswith("global_") else made


def mapping_text(mapping: Mapping, contraction: Contraction, accelerator: Accelerator) -> str:
    """The mapping of one operator. Raises InputError for what cannot be said."""
    check_homes(accelerator, contraction, TOOL)
    check_mapping(mapping, TOOL)
    legality.checked(mapping, contraction, accelerator)
    remarks = [f"{mapping.operator} on {accelerator.name}, written by InferStack for {TOOL}."]
    if not all_steps_divide(mapping, contraction, accelerator):
        remarks.append(
            "Some steps do not divide: AccelForge counts some of the last, smaller tiles as whole."
        )
    nodes = _nodes(mapping, contraction, accelerator)
    return document({"mapping": {"nodes": nodes}}, remarks)


def _nodes(mapping: Mapping, contraction: Contraction, accelerator: Accelerator) -> list[Tagged]:
    passages, stores = placed(mapping, contraction, accelerator)
    register = register_depth(passages, stores, contraction, accelerator)
    slots = [operand.slot for operand in contraction.operands]
    nodes = [_storage(slots, component(accelerator.levels[0].name))]
    for depth in range(len(passages) + 1):
        nodes += [
            _storage([store.slot], component(store.level)) for at, store in stores if at == depth
        ]
        if depth == register:
            nodes += _array(mapping, contraction, accelerator, passages[:depth])
        if depth < len(passages):
            nodes.append(_passage(passages[depth], accelerator))
    compute = Inline(einsum=identifier(contraction.name), component=MAC)
    return [*nodes, Tagged("Compute", compute)]


def _storage(slots: Sequence[str], place: str) -> Tagged:
    return Tagged("Storage", Inline(tensors=Row(slots), component=place))


def instances(fan_out: FanOut) -> str:
    """The name of a fan-out's container."""
    return f"below_{identifier(fan_out.below)}"


def _passage(passage: Passage, accelerator: Accelerator) -> Tagged:
    walk = Inline(rank_variable=passage.dim, tile_shape=passage.step)
    if isinstance(passage, Loop):
        return Tagged("Temporal", walk)
    fan_out = next(
        one for one in accelerator.fan_outs for axis in one.axes if axis.name == passage.axis
    )
    return Tagged("Spatial", Inline(walk | {"name": passage.axis, "component": instances(fan_out)}))


def _array(
    mapping: Mapping, contraction: Contraction, accelerator: Accelerator, around: Sequence[Passage]
) -> list[Tagged]:
    """The spatial nodes of the array, and its registers."""
    chunk = contraction.extents | {loop.dim: loop.step for loop in around}
    nodes = []
    for node in mapping.nodes:
        inside = isinstance(node, Spatial) and node.axis in AXES
        if not isinstance(node, Spatial) or not inside or chunk[node.dim] == 1:
            continue
        if node.extent < chunk[node.dim]:
            raise InputError(
                f"mapping of {mapping.operator}",
                f"loops over {node.dim} stand where the array keeps its operand",
                got=f"{chunk[node.dim]} elements of {node.dim}",
                need=f"at most the {node.extent} side by side",
                hint=f"{TOOL} takes one spatial node of a dimension, outside of these loops",
            )
        chunk[node.dim] = 1
        spatial = Inline(rank_variable=node.dim, tile_shape=1, name=node.axis, component=ARRAY)
        nodes.append(Tagged("Spatial", spatial))
    held = stationary(accelerator)
    if held is not None:
        nodes.append(_storage([contraction.by_role(held).slot], REGISTER))
    return nodes


def mapping_from(
    nodes: Sequence[Dictionary[str, Any]], contraction: Contraction, accelerator: Accelerator
) -> Mapping:
    """Nodes of a mapping that AccelForge found for the exported files, as one of ours.

    nodes: outermost first, each with `node` (the class's name) and its fields: Temporal with
    rank_variable and tile_shape; Spatial with name and component too; Storage with tensors and
    component. Others say nothing that we need. The array's spatial nodes go innermost: a loop that
    stands below one of its own dimension takes steps as much wider.
    """
    levels = {component(level.name): level.name for level in accelerator.levels[1:]}
    chunk, wide = contraction.extents, dict.fromkeys(contraction.extents, 1)
    made, sides = list[Node](), list[Node]()
    for node in nodes:
        if node["node"] == "Temporal":
            dim, step = node["rank_variable"], int(node["tile_shape"])
            if step < chunk[dim]:
                made.append(Loop(dim, step * wide[dim]))
                chunk[dim] = step
        elif node["node"] == "Spatial":
            dim, step = node["rank_variable"], int(node["tile_shape"])
            extent = -(-chunk[dim] // step)
            if node["component"] != ARRAY:
                made.append(Spatial(dim, extent, node["name"], step))
                chunk[dim] = step
            elif extent > 1:
                sides.append(Spatial(dim, extent, node["name"]))
                chunk[dim], wide[dim] = step, wide[dim] * extent
        elif node["node"] == "Storage" and node["component"] in levels:
            made += [Store(slot, levels[node["component"]]) for slot in node["tensors"]]
    return Mapping(operator=contraction.name, accelerator=accelerator.name, nodes=(*made, *sides))
