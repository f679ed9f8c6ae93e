"""Conformance kit of an operator: what every rule must keep. Run on all of `ops`.

A new operator is one file; `check_rule(rule, example)` says whether the rest of the house can rely
on it: its shapes, its loops and its meaning agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inferstack.core.dtypes import DType
from inferstack.core.errors import CheckFailedError
from inferstack.ir.graph import Attribute, Tensor
from inferstack.ops.rule import OUTPUT, Access, Affine, IterationSpace, Rule

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]

MOST_POINTS = 200_000
"""Examples whose space has more points are refused: the kit walks through every point."""
SLOTS_WITHOUT_ACCESS = ("multiplier", "shift", "scale")
"""Ends of the names of slots that hold integer tables: a few numbers beside the loops."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OperatorExample:
    """Small inputs of one operator.

    inputs: arrays by slot. batched: the slots whose first axis is the batch, at least 2 long; the
    others are weights. outside: slots that may be read beyond their edges (padding), which counts
    as zero. unread: slots that the loops do not read: nothing moves, or the data says which rows.
    """

    inputs: Mapping[str, Array]
    batched: frozenset[str]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    outside: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()


def check_rule(rule: Rule, example: OperatorExample) -> None:
    """Raises CheckFailedError, with every promise that is broken, or returns."""
    # In this order: later checks rely on earlier ones.
    broken = [*_slots(rule, example)] or [*_meaning(rule, example)] or [*_loops(rule, example)]
    if broken:
        raise CheckFailedError(f"operator kind {rule.kind}", "; ".join(broken))


def _slots(rule: Rule, example: OperatorExample) -> Iterator[str]:
    known = {*rule.required, *rule.optional}
    if not set(rule.required) <= set(example.inputs) <= known:
        yield f"the example's slots are {sorted(example.inputs)}, the rule's {sorted(known)}"
    if set(rule.required) & set(rule.optional):
        yield "a slot is required and optional"
    if not rule.kind or OUTPUT in known:
        yield f"the kind needs a name, and no slot may be called {OUTPUT!r}"
    if any(example.inputs[slot].shape[0] < 2 for slot in example.batched):
        yield "the example has no batch"


def _tensors(example: OperatorExample) -> dict[str, Tensor]:
    return {
        slot: Tensor(name=slot, shape=values.shape, dtype=DType(values.dtype.name))
        for slot, values in example.inputs.items()
    }


def _result(rule: Rule, example: OperatorExample) -> tuple[Tensor, Array]:
    """The inferred output and the computed one."""
    tensors = _tensors(example)
    shape, dtype = rule.infer(tensors, example.attributes)
    output = Tensor(name=OUTPUT, shape=shape, dtype=dtype)
    return output, _compute(rule, tensors, output, example.inputs, example.attributes)


def _compute(
    rule: Rule,
    tensors: Mapping[str, Tensor],
    output: Tensor,
    inputs: Mapping[str, Array],
    attributes: Mapping[str, Attribute],
) -> Array:
    if rule.is_integer(tensors, output):
        return rule.integer_reference(inputs, attributes)
    return rule.reference(inputs, attributes)


def _meaning(rule: Rule, example: OperatorExample) -> Iterator[str]:
    import numpy as np

    before = {slot: values.copy() for slot, values in example.inputs.items()}
    output, result = _result(rule, example)
    if any(not np.array_equal(before[slot], example.inputs[slot]) for slot in before):
        yield "it changes its inputs"
    if (result.shape, result.dtype) != (output.shape, output.dtype.numpy()):
        got, said = (result.shape, result.dtype.name), (output.shape, output.dtype.value)
        yield f"it infers {said} and computes {got}"
        return
    tensors = _tensors(example)
    for index in range(output.shape[0]):
        part = {
            slot: values[index : index + 1] if slot in example.batched else values
            for slot, values in example.inputs.items()
        }
        alone = _compute(rule, tensors, output, part, example.attributes)
        whole = result[index : index + 1]
        same = (
            np.array_equal(alone, whole)
            if output.dtype.is_integer
            else np.allclose(alone, whole, rtol=1e-5, atol=1e-6)
        )
        if alone.shape != whole.shape or not same:
            yield f"sample {index} alone gives another result than in the batch"


def _loops(rule: Rule, example: OperatorExample) -> Iterator[str]:
    import numpy as np

    output, result = _result(rule, example)
    tensors = {**_tensors(example), OUTPUT: output}
    space = rule.space(_tensors(example), output, example.attributes)
    box = math.prod(extent for _, extent in space.dims)
    if box > MOST_POINTS:
        yield f"the example has {box:,} points; at most {MOST_POINTS:,} are walked"
        return
    if len(space.extents) != len(space.dims) or not space.reductions <= set(space.extents):
        yield "the dimensions have no distinct names, or a reduction is no dimension"
        return
    yield from _accesses(space, tensors, example)
    places = _places(space)
    points = len(next(iter(places.values())))
    if points != space.points:
        yield f"it counts {space.points:,} points, and {points:,} have a place in its result"
    written = _indices(space.access(OUTPUT), places)
    flat = np.ravel_multi_index(tuple(written), _merged(output.shape, len(written)), mode="clip")
    free = points // math.prod(space.extents[name] for name in space.reductions)
    if len(np.unique(flat)) != free:
        yield f"{free} steps outside the reductions write {len(np.unique(flat))} elements"
    if not rule.whole_rows and _couples_rows(rule, example, space, result):
        yield "each result needs its whole row, and `whole_rows` does not say so"
    exact = space.macs_per_point and not space.divides_rows and "multiplier" not in example.inputs
    # An operand that the loops do not read says which elements meet.
    if exact and not example.unread and not _contracts(rule, space, example, places, result, flat):
        yield "its loops, executed, do not give its result"


def _couples_rows(
    rule: Rule, example: OperatorExample, space: IterationSpace, result: Array
) -> bool:
    """Whether a change of the first of a row changes all others of it, element by element."""
    import numpy as np

    slot = rule.required[0]
    x, written = example.inputs[slot], space.access(OUTPUT).indices
    reads = [access for access in space.accesses if access.slot == slot]
    if space.reductions or x.shape != result.shape or [own.indices for own in reads] != [written]:
        return False
    other = x.copy()
    other[..., 0] += 1
    tensors = _tensors(example)
    output = Tensor(name=OUTPUT, shape=result.shape, dtype=DType(result.dtype.name))
    moved = _compute(rule, tensors, output, {**example.inputs, slot: other}, example.attributes)
    return result.shape[-1] > 2 and bool(np.all(moved[..., 1:] != result[..., 1:]))


def _accesses(
    space: IterationSpace, tensors: Mapping[str, Tensor], example: OperatorExample
) -> Iterator[str]:
    """Every operand is accessed, and only inside its shape."""
    slots = [access.slot for access in space.accesses]
    if len(set(slots)) != len(slots) or not set(slots) <= set(tensors):
        yield f"the accesses are {slots}: twice one, or none of the operator's"
        return
    for slot in set(tensors) - set(slots) - example.unread:
        if not slot.endswith(SLOTS_WITHOUT_ACCESS):
            yield f"no access of {slot}"
    places = _places(space)
    for access in space.accesses:
        shape = _merged(tensors[access.slot].shape, len(access.indices))
        if len(access.indices) != len(shape) or not access.dims <= set(space.extents):
            yield f"the access of {access.slot} does not fit its shape {shape}"
            continue
        for axis, index in enumerate(access.indices):
            values = _values(index, places)
            low, high = values.min(), values.max()
            if index.size not in (None, shape[axis]):
                yield f"axis {axis} of {access.slot} is said to have {index.size} elements"
            if access.slot not in example.outside and not 0 <= low <= high < shape[axis]:
                yield f"axis {axis} of {access.slot} is read from {low} to {high} of {shape[axis]}"


def _merged(shape: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """The shape with its leading axes as one, where an access has fewer indices than axes."""
    if not 0 < axes < len(shape):
        return shape
    rest = len(shape) - axes + 1
    return (math.prod(shape[:rest]), *shape[rest:])


def _places(space: IterationSpace) -> dict[str, Array]:
    """The value of each dimension at each point that has a place in the result, (points,)."""
    import numpy as np

    grid = np.indices([extent for _, extent in space.dims]).reshape(len(space.dims), -1)
    places = {name: grid[axis] for axis, (name, _) in enumerate(space.dims)}
    kept = np.ones(grid.shape[1], dtype=np.bool_)
    for index in space.access(OUTPUT).indices:
        if index.size is not None:
            values = _values(index, places)
            kept &= (values >= 0) & (values < index.size)
    return {name: values[kept] for name, values in places.items()}


def _indices(access: Access, places: Mapping[str, Array]) -> list[npt.NDArray[np.int64]]:
    """One index array (points,) per axis of the accessed tensor."""
    return [_values(index, places) for index in access.indices]


def _values(index: Affine, places: Mapping[str, Array]) -> npt.NDArray[np.int64]:
    """Of an index at each point, (points,)."""
    import numpy as np

    points = len(next(iter(places.values())))
    made = np.full(points, index.offset, dtype=np.int64)
    return made + sum((factor * places[dim] for dim, factor in index.terms), start=0)


def _contracts(
    rule: Rule,
    space: IterationSpace,
    example: OperatorExample,
    places: Mapping[str, Array],
    result: Array,
    flat: Array,
) -> bool:
    """Whether multiplying and adding point by point gives the rule's result."""
    import numpy as np

    factors = np.ones(flat.size, dtype=np.float64)
    for slot in rule.required:
        at = _indices(space.access(slot), places)
        values = example.inputs[slot]
        values = values.reshape(_merged(values.shape, len(at)))
        inside = np.ones(flat.size, dtype=np.bool_)
        for axis, index in enumerate(at):
            inside &= (index >= 0) & (index < values.shape[axis])
        at = [np.clip(index, 0, size - 1) for index, size in zip(at, values.shape, strict=True)]
        factors *= np.where(inside, values[tuple(at)], 0)
    total = np.zeros(result.size, dtype=np.float64)
    np.add.at(total, flat, factors)
    if "bias" in example.inputs:
        bias = example.inputs["bias"][tuple(_indices(space.access("bias"), places))]
        total[flat] += bias
    return bool(np.allclose(total, result.reshape(-1), rtol=1e-4, atol=1e-4))
