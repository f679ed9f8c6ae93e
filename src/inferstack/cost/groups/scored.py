"""The cost of a fused group as it is written down: no search, the file's own nests."""

from __future__ import annotations

from inferstack.core.errors import MappingError, UnknownNameError
from inferstack.core.infeasible import Infeasible
from inferstack.cost.cost import cost
from inferstack.cost.groups.group import GroupCost, fusible, group_cost, tiled_group
from inferstack.cost.groups.setting import Setting
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.group import GroupMapping
from inferstack.mapping.kernels import KernelGraph


def scored_group(group: GroupMapping, graph: KernelGraph, accelerator: Accelerator) -> GroupCost:
    """The cost. graph: of the group's kernels. Raises MappingError where it makes no sense, has no
    nest for a chunk, or does not fit."""
    where = f"group {group.kernels[0]}"
    nests = {chunk.signature: mapping for chunk, mapping in group.nests}

    def written(wanted: Contraction, machine: Accelerator) -> Scheduled | Infeasible:
        mapping = nests.get(wanted.signature)
        if mapping is None:
            raise MappingError(
                where, "has no nest for a chunk of a contraction",
                got=", ".join(f"{name} {extent}" for name, extent in wanted.dims),
                hint="`inferstack map --out` writes a nest for every chunk of a group",
            )  # fmt: skip
        return Scheduled(
            contraction=wanted,
            accelerator=machine,
            mapping=mapping,
            cost=cost(mapping, wanted, machine),
            certificate=None,
        )

    setting = Setting(graph=graph, accelerator=accelerator, inner=written)
    if not fusible(setting, graph.kernels):
        raise MappingError(where, "its kernels share no tiles: their repeats differ, or the host")
    tiled = tiled_group(setting, graph.kernels, group.tile)
    if tiled is None:
        raise MappingError(where, "has no such tile", got=f"{group.tile.rows} rows")
    for tensor in group.pinned:
        if tensor not in tiled.passes[0].layout.sizes:
            raise UnknownNameError(
                where, "tensor from outside", tensor, tiled.passes[0].layout.sizes
            )
    level = accelerator.level(group.level)
    found = group_cost(setting, tiled, level, frozenset(group.pinned))
    if found is None:
        kept = max(one.layout.most_bytes(frozenset(group.pinned)) for one in tiled.passes)
        raise MappingError(
            where, f"does not fit the {level.name}", got=f"{kept} bytes",
            need=f"at most {level.usable_bytes}",
        )  # fmt: skip
    return found
