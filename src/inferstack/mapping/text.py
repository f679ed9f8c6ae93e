"""A mapping in words: one line a node, outermost first, with tiles, sizes and trips."""

from __future__ import annotations

from dataclasses import replace

from inferstack.core.units import ceil_div
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.mapping.nest import Loop, Mapping, Spatial, Store


def readable(mapping: Mapping, contraction: Contraction, accelerator: Accelerator) -> str:
    """The loop nest. Raises MappingError for a mapping that makes no sense."""
    nest = legality.checked(mapping, contraction, accelerator)
    chunk, indent = contraction.extents, 0
    lines = [f"{mapping.operator} on {accelerator.name}: {_sizes(contraction)}"]
    for node in mapping.nodes:
        margin = "  " * indent
        if isinstance(node, Loop):
            trips = ceil_div(chunk[node.dim], node.step)
            rest = chunk[node.dim] % node.step
            last = f", the last of {rest}" if rest else ""
            lines.append(
                f"{margin}for {node.dim} in {trips} step{'s' if trips > 1 else ''} "
                f"of {node.step}{last}"
            )
            chunk[node.dim] = node.step
            indent += 1
        elif isinstance(node, Store):
            operand = contraction.operand(node.slot)
            level = accelerator.level(node.level)
            size = legality.tile_bytes(operand, chunk, level, nest.spatial)
            again = ", fetched at every step" if node.refetched else ""
            lines.append(
                f"{margin}{level.name} holds {node.slot}: {_tile(operand, chunk)}, "
                f"{_bytes(size)}{again}"
            )
    sides = [f"{n.dim} on {n.extent} {n.axis}s" for n in mapping.nodes if isinstance(n, Spatial)]
    lines.append(f"{'  ' * indent}array: {', '.join(sides) if sides else 'one element'}")
    if mapping.fused:
        lines.append(f"on the way out: {', then '.join(mapping.fused)}")
    return "\n".join(lines)


def _sizes(contraction: Contraction) -> str:
    return ", ".join(f"{name} {extent}" for name, extent in contraction.dims)


def _tile(operand: Operand, chunk: dict[str, int]) -> str:
    """Distinct elements along each axis that a loop moves."""
    sides = [replace(operand, indices=(index,)).elements(chunk) for index in operand.indices]
    return " x ".join(str(side) for side in sides if side > 1) or "1"


def _bytes(size: int) -> str:
    return f"{size / 1024:.1f} KiB" if size >= 1024 else f"{size} B"
