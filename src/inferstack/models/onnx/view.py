"""How the axes of an ONNX value lie in a tensor of ours: Reshape and Transpose move no data here.

An axis is a row of atoms, the outermost first. A value (batch, heads, tokens, width) that was made
of a tensor (batch, tokens, heads * width) has the atoms of heads and width on the tensor's axis 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

REPEATED = -1


@dataclass(frozen=True, slots=True)
class Atom:
    """`size` steps of `stride` on an axis of the tensor; the axis REPEATED has the same again."""

    axis: int
    size: int
    stride: int


Axes = tuple[tuple[Atom, ...], ...]


def plain(shape: tuple[int, ...]) -> Axes:
    """The tensor as it is."""
    return tuple((Atom(axis, size, 1),) if size != 1 else () for axis, size in enumerate(shape))


def size_of(atoms: tuple[Atom, ...]) -> int:
    """Elements of an axis."""
    return math.prod(atom.size for atom in atoms)


def shape_of(axes: Axes) -> tuple[int, ...]:
    """The shape of the value."""
    return tuple(size_of(axis) for axis in axes)


def merged(atoms: tuple[Atom, ...]) -> tuple[Atom, ...]:
    """Neighbours that are one step after the other as one."""
    found: list[Atom] = []
    for atom in atoms:
        if atom.size == 1:
            continue
        if found and found[-1].axis == atom.axis:
            before = found[-1]
            if atom.axis == REPEATED or before.stride == atom.stride * atom.size:
                found[-1] = Atom(atom.axis, before.size * atom.size, atom.stride)
                continue
        found.append(atom)
    return tuple(found)


def reshaped(axes: Axes, shape: tuple[int, ...]) -> Axes | None:
    """The same elements in the same order in another shape; None where atoms would break."""
    if 0 in shape:
        return axes if shape_of(axes) == shape else None
    left = list(merged(tuple(atom for axis in axes for atom in axis)))
    found = []
    for size in shape:
        taken: list[Atom] = []
        need = size
        while need > 1:
            if not left:
                return None
            atom = left.pop(0)
            if need % atom.size == 0:
                taken.append(atom)
                need //= atom.size
            elif atom.size % need == 0:
                inner = atom.size // need
                taken.append(Atom(atom.axis, need, atom.stride * inner))
                left.insert(0, Atom(atom.axis, inner, atom.stride))
                need = 1
            else:
                return None
        found.append(merged(tuple(taken)))
    return None if left else tuple(found)


def expanded(axes: Axes, shape: tuple[int, ...]) -> Axes:
    """Axes of size 1 repeated, new ones in front."""
    short = len(shape) - len(axes)
    whole = (*((),) * short, *axes)
    return tuple(
        axis if size_of(axis) == size else (Atom(REPEATED, size, 0),)
        for axis, size in zip(whole, shape, strict=True)
    )


def same(a: Axes, b: Axes) -> bool:
    """Whether two values of one tensor's shape lie alike."""
    return tuple(map(merged, a)) == tuple(map(merged, b))


def to_tensor(axes: Axes, shape: tuple[int, ...], value: Array) -> Array | None:
    """A value that broadcasts to `axes`, laid out to broadcast to the tensor of `shape`.

    None where it is repeated, or repeats along a part of one of the tensor's axes.
    """
    import numpy as np

    value = value.reshape((1,) * (len(axes) - value.ndim) + value.shape)
    sizes: list[int] = []
    atoms: list[Atom] = []
    for axis, own in zip(axes, value.shape, strict=True):
        whole = own == size_of(axis)
        if not whole and own != 1:
            return None
        for atom in axis:
            if atom.axis == REPEATED and whole:
                return None
            atoms.append(atom)
            sizes.append(atom.size if whole else 1)
    value = value.reshape(tuple(sizes))
    order = sorted(range(len(atoms)), key=lambda n: (atoms[n].axis, -atoms[n].stride))
    value = value.transpose(order)
    made, wide = [], list(value.shape)
    for number, size in enumerate(shape):
        places = [place for place, n in enumerate(order) if atoms[n].axis == number]
        if all(value.shape[place] == 1 for place in places):
            made.append(1)
            continue
        for place in places:
            wide[place] = atoms[order[place]].size
        made.append(size)
    return np.ascontiguousarray(np.broadcast_to(value, wide)).reshape(tuple(made))


def from_tensor(axes: Axes, tensor: Array) -> Array:
    """The value out of the tensor, as ONNX has it."""
    import numpy as np

    strides = tensor.strides
    flat = [atom for axis in axes for atom in axis]
    view = np.lib.stride_tricks.as_strided(
        tensor,
        shape=tuple(atom.size for atom in flat),
        strides=tuple(
            0 if atom.axis == REPEATED else atom.stride * strides[atom.axis] for atom in flat
        ),
    )
    return view.reshape(shape_of(axes))
