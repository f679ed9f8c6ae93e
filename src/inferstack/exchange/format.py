"""`Format`: what a tool's file offers, and `export`, which writes all files of several operators.

A tool that cannot express something raises InputError where the result would be another problem;
where it only counts differently, its files say so in a comment at the top.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inferstack.core.errors import InputError, UnknownNameError
from inferstack.core.plugins import discover
from inferstack.cost.access import stationary
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Loop, Mapping, Spatial, Store

NOT_EXPORTED = "not-exported.txt"
Files = dict[str, str]
"""Text by file name."""
Writer = Callable[[Accelerator, Contraction, Mapping | None], Files]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A tool's input format.

    tool: its name and the version the files were written for. files: the input of one operator;
    without a mapping, what the tool's own mapper needs.
    """

    tool: str
    files: Writer


def formats() -> dict[str, Format]:
    """All formats by name."""
    from inferstack import exchange

    return discover(exchange, "FORMAT")


def export(
    name: str,
    accelerator: Accelerator,
    operators: Sequence[tuple[Contraction, Mapping | None]],
) -> Files:
    """The files of each operator in a folder of its own.

    Of several operators, one that the tool cannot express has the reason in `not-exported.txt`
    instead. Raises InputError where none can be expressed.
    """
    known = formats()
    if name not in known:
        raise UnknownNameError("--export", "format", name, known)
    found: dict[str, Files] = {}
    refusals: list[InputError] = []
    for contraction, mapping in operators:
        folder = identifier(contraction.name)
        if folder in found:
            raise InputError("--export", "two operators would be written to one folder", got=folder)
        try:
            found[folder] = known[name].files(accelerator, contraction, mapping)
        except InputError as refusal:
            refusals.append(refusal)
            found[folder] = {NOT_EXPORTED: f"{refusal.message()}\n"}
    if refusals and len(refusals) == len(found):
        raise refusals[0]
    return {
        f"{folder}/{file}": text for folder, files in found.items() for file, text in files.items()
    }


def identifier(name: str) -> str:
    """A name of letters, digits and underscores that does not begin with a digit."""
    made = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"_{made}" if made[:1].isdigit() else made


def moving_dims(contraction: Contraction) -> dict[str, int]:
    """Extents of the dimensions that are worth a loop: above 1, and one of every operand."""
    kept = {name for name, extent in contraction.dims if extent > 1}
    for operand in contraction.operands:
        if operand.dims and not operand.dims & kept:
            kept.add(min(operand.dims))
    return {name: extent for name, extent in contraction.dims if name in kept}


def split_axes(
    contraction: Contraction, slot: str, kept: dict[str, int]
) -> list[list[tuple[str, int]]]:
    """The axes of an operand as (dimension, coefficient) terms, over the dimensions kept.

    An axis that several dimensions make up like digits of a number (heads and their elements)
    becomes one axis each: the same elements, in a form that every tool counts exactly.
    """
    found = []
    for index in contraction.operand(slot).indices:
        terms = [(name, coefficient) for name, coefficient in index.terms if name in kept]
        terms.sort(key=lambda term: -abs(term[1]))
        pairs = itertools.pairwise(terms)
        if all(outer[1] == own[1] * kept[own[0]] for outer, own in pairs):
            found += [[(name, 1)] for name, _ in terms]
        elif terms:
            found.append(terms)
    return found


def check_one_instance(accelerator: Accelerator, tool: str) -> None:
    """Raises InputError for instances side by side."""
    if accelerator.fan_outs:
        raise InputError(
            f"accelerator {accelerator.name}",
            f"instances side by side are not exported to {tool}",
            got=f"a fan-out below {accelerator.fan_outs[0].below}",
            need="one instance of every level",
        )


def check_homes(accelerator: Accelerator, contraction: Contraction, tool: str) -> None:
    """Raises InputError for operands that come from, or stay in, a level on the chip."""
    for operand in contraction.operands:
        if operand.home(accelerator) != 0:
            raise InputError(
                f"operator {contraction.name}",
                f"a neighbour's tile on the chip is not exported to {tool}",
                got=f"{operand.slot} from {operand.origin}",
                need=f"every operand from {accelerator.levels[0].name}",
            )


def check_mapping(mapping: Mapping, tool: str) -> None:
    """Raises InputError for what none of the formats says."""
    if mapping.fused:
        raise InputError(
            f"mapping of {mapping.operator}",
            f"fused operators are not exported to {tool}",
            got=", ".join(mapping.fused),
            hint="export the mapping that was found with --no-fuse",
        )
    for node in mapping.nodes:
        if getattr(node, "refetched", False):
            raise InputError(
                f"mapping of {mapping.operator}",
                f"a tile that is fetched again at every step is not exported to {tool}",
                got=node,
            )


def steps_divide(mapping: Mapping, contraction: Contraction, accelerator: Accelerator) -> bool:
    """Whether no tile is smaller than its neighbours."""
    chunk = contraction.extents
    for passage in placed(mapping, contraction, accelerator)[0]:
        if chunk[passage.dim] % passage.step:
            return False
        chunk[passage.dim] = passage.step
    sides = [n for n in mapping.nodes if isinstance(n, Spatial) and n.axis in ("row", "column")]
    return all(chunk[node.dim] in (node.extent, 1) for node in sides)


Passage = Loop | Spatial
"""What stands between two stores: a loop, or the instances of a fan-out."""


def placed(
    mapping: Mapping, contraction: Contraction, accelerator: Accelerator
) -> tuple[list[Passage], list[tuple[int, Store]]]:
    """What walks more than one step, and each store with the number of these that it stands below.

    A store stays while no loop moves it: it stands below the innermost loop around it that does,
    and inside of the instances that its level belongs to.
    """
    axes = {axis.name: fan for fan in accelerator.fan_outs for axis in fan.axes}
    chunk, passages = contraction.extents, list[Passage]()
    stores, outer = list[tuple[int, Store]](), dict[str, int]()
    for node in mapping.nodes:
        if isinstance(node, Store):
            at = accelerator.index(node.level)
            around = [
                depth + 1
                for depth, passage in enumerate(passages)
                if isinstance(passage, Spatial) and accelerator.index(axes[passage.axis].below) < at
            ]
            moved = _kept(passages, contraction.operand(node.slot).dims)
            depth = max([moved, outer.get(node.slot, 0), *around])
            outer[node.slot] = depth
            stores.append((depth, node))
        elif node.step < chunk[node.dim] and (isinstance(node, Loop) or node.axis in axes):
            passages.append(node)
            chunk[node.dim] = node.step
    return passages, stores


def _kept(passages: Sequence[Passage], dims: frozenset[str]) -> int:
    """The depth below the innermost of the loops that runs over one of the dimensions."""
    moving = [isinstance(passage, Loop) and passage.dim in dims for passage in passages]
    return max((at + 1 for at, moves in enumerate(moving) if moves), default=0)


def register_depth(
    passages: Sequence[Passage],
    stores: Sequence[tuple[int, Store]],
    contraction: Contraction,
    accelerator: Accelerator,
) -> int:
    """What stands above the array's registers: down to the last loop that moves what they keep."""
    held = stationary(accelerator)
    if held is None:
        return len(passages)
    operand = contraction.by_role(held)
    own = [depth for depth, store in stores if store.slot == operand.slot]
    instances = [at + 1 for at, passage in enumerate(passages) if isinstance(passage, Spatial)]
    return max([_kept(passages, operand.dims), *own, *instances])
