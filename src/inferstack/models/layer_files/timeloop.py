"""Timeloop's problem: a product of matrices, or its CNN layer; versions 0.3 and 0.4.

What a problem is follows from its projections, not from its name. Timeloop's CNN layer has no
padding: its inputs are as large as the windows reach.
Source: timeloop.csail.mit.edu, "Problem".
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from inferstack.core.errors import InputError
from inferstack.core.yaml import read_yaml
from inferstack.models.layer_spec import LARGEST, LayerSpec, layer

CNN = frozenset("NCPQRS")
"""And M, or K in other files: the channels out."""
Term = frozenset[str]
NEED = (
    "a product of matrices (three dimensions, each in two data spaces) or the CNN layer over "
    "C, M (or K), R, S, N, P, Q"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Space:
    """A data space. ranks: the products that each index is a sum of."""

    ranks: tuple[frozenset[Term], ...]
    written: bool


class Timeloop:
    """See the module."""

    title = "a problem of Timeloop (YAML: a matmul, or the CNN layer without padding)"

    def recognises(self, path: Path, text: str) -> bool:
        """YAML with the key `problem`."""
        lines = text.splitlines()
        return path.suffix.lower() != ".csv" and any(line.startswith("problem:") for line in lines)

    def read(self, path: Path, text: str) -> tuple[LayerSpec, ...]:
        """Its one layer."""
        where = str(path)
        content = _mapping(where, read_yaml(path, InputError))
        known(where, "key", content, ("problem",))
        problem = _mapping(f"{where}, problem", content.get("problem"))
        where = f"{where}, problem"
        known(where, "key", problem, ("version", "shape", "instance"))
        shape = _mapping(f"{where}.shape", problem.get("shape"))
        keys = ("name", "dimensions", "coefficients", "data_spaces", "data-spaces")
        known(f"{where}.shape", "key", shape, keys)
        dims = _names(f"{where}.shape.dimensions", shape.get("dimensions"))
        factors = _coefficients(f"{where}.shape.coefficients", shape.get("coefficients", []))
        spaces = _spaces(f"{where}.shape.data_spaces", shape, (*dims, *factors))
        instance = _mapping(f"{where}.instance", problem.get("instance"))
        known(f"{where}.instance", "key", instance, (*dims, *factors))
        for dim in dims:
            if dim not in instance:
                raise InputError(f"{where}.instance", f"lacks the dimension {dim}")
        sizes = {n: whole(f"{where}.instance", n, v) for n, v in {**factors, **instance}.items()}
        kind, given = _product(dims, spaces, sizes) or _cnn(where, dims, spaces, sizes)
        return (layer(where, str(shape.get("name", path.stem)), kind, given),)


def shown(value: object) -> str:
    """A value out of a file, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def whole(where: str, what: str, value: object) -> int:
    """A size. Raises InputError."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, int) or not number or not 1 <= value <= LARGEST:
        need = f"a whole number from 1 to {LARGEST:,}"
        raise InputError(f"{where}.{what}", "is no size", got=shown(value), need=need)
    return value


def known(where: str, kind: str, given: Iterable[object], names: Iterable[str]) -> None:
    """Raises InputError for a key that is none of `names`, with the nearest that is."""
    names = tuple(names)
    for key in given:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1, cutoff=0.5)
            raise InputError(
                where, f"unknown {kind}", got=shown(key), need=f"one of {', '.join(names)}",
                hint=f"did you mean {near[0]!r}?" if near else None,
            )  # fmt: skip


def _mapping(where: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InputError(
            where, "missing" if value is None else "is no mapping", need="a mapping",
            hint="what stands in a file of its own is not followed: write it out",
        )  # fmt: skip
    return value


def _list(where: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise InputError(where, "is no list", got=shown(value), need="a list")
    return value


def _names(where: str, value: object) -> list[str]:
    names = [str(name) for name in _list(where, value)]
    if len(set(names)) != len(names):
        raise InputError(where, "names a dimension twice", got=shown(names))
    return names


def _coefficients(where: str, value: object) -> dict[str, object]:
    factors: dict[str, object] = {}
    for one in _list(where, value):
        entry = _mapping(where, one)
        known(where, "key", entry, ("name", "default"))
        factors[str(entry.get("name"))] = entry.get("default", 1)
    return factors


def _spaces(where: str, shape: Mapping[str, object], names: tuple[str, ...]) -> list[_Space]:
    spaces = []
    for number, one in enumerate(_list(where, shape.get("data_spaces", shape.get("data-spaces")))):
        place = f"{where}[{number}]"
        entry = _mapping(place, one)
        known(place, "key", entry, ("name", "projection", "read_write", "read-write"))
        ranks = []
        for rank in _list(f"{place}.projection", entry.get("projection")):
            products = [
                _list(f"{place}.projection", product)
                for product in _list(f"{place}.projection", rank)
            ]
            known(f"{place}.projection", "dimension", (n for p in products for n in p), names)
            terms = frozenset(frozenset(str(name) for name in product) for product in products)
            ranks.append(terms)
        written = entry.get("read_write", entry.get("read-write", False))
        if not isinstance(written, bool):
            raise InputError(f"{place}.read_write", "is neither true nor false", got=shown(written))
        spaces.append(_Space(ranks=tuple(ranks), written=written))
    if [space.written for space in spaces].count(True) != 1 or len(spaces) != 3:
        raise InputError(where, "are no layer", need="two that are read, one with read_write: true")
    return spaces


def _single(space: _Space) -> set[str] | None:
    """The dimensions of a space whose indices are one dimension each; None for another."""
    found: list[str] = []
    for rank in space.ranks:
        if len(rank) != 1 or len(term := next(iter(rank))) != 1:
            return None
        found += term
    return set(found) if len(set(found)) == len(found) else None


def _product(
    dims: list[str], spaces: list[_Space], sizes: Mapping[str, int]
) -> tuple[str, dict[str, object]] | None:
    """(rows, inner) times (inner, columns); None where it is no such thing."""
    result = next(_single(space) for space in spaces if space.written)
    first, second = (_single(space) for space in spaces if not space.written)
    if result is None or first is None or second is None or len(dims) != 3:
        return None
    inner, rows, columns = first & second, first & result, second & result
    if not len(inner) == len(rows) == len(columns) == 1 or inner | rows | columns != set(dims):
        return None
    if not len(first) == len(second) == len(result) == 2:
        return None
    pairs = (("m", rows), ("k", inner), ("n", columns))
    return "matmul", {size: sizes[next(iter(name))] for size, name in pairs}


def _cnn(
    where: str, dims: list[str], spaces: list[_Space], sizes: Mapping[str, int]
) -> tuple[str, dict[str, object]]:
    """Timeloop's CNN layer. Raises InputError for any other problem."""
    out = "M" if "M" in dims else "K"
    result = next(space for space in spaces if space.written)
    read = [space for space in spaces if not space.written]
    weights = [space for space in read if _single(space) == {*"CRS", out}]
    images = [space for space in read if _single(space) is None]
    sound = set(dims) == CNN | {out} and _single(result) == {*"NPQ", out}
    if not sound or len(weights) != 1 or len(images) != 1:
        raise InputError(f"{where}.shape", "is no layer that is read", need=NEED)
    plain = {next(iter(rank)) for rank in images[0].ranks if len(rank) == 1}
    steps = [_step(where, images[0], p, r, sizes) for p, r in (("P", "R"), ("Q", "S"))]
    if len(images[0].ranks) != 4 or plain != {frozenset("N"), frozenset("C")}:
        raise InputError(f"{where}.shape", "has another image than the CNN layer", need=NEED)
    if steps[0] != steps[1]:
        raise InputError(
            f"{where}.instance", "strides or dilations differ along rows and columns",
            got=" and ".join(f"stride {a}, dilation {b}" for a, b in steps), need="equal ones",
        )  # fmt: skip
    stride, dilation = steps[0]
    given: dict[str, object] = {
        "batch": sizes["N"], "c": sizes["C"], "n": sizes[out], "r": sizes["R"], "s": sizes["S"],
        "h": (sizes["P"] - 1) * stride + (sizes["R"] - 1) * dilation + 1,
        "w": (sizes["Q"] - 1) * stride + (sizes["S"] - 1) * dilation + 1,
        "stride": stride, "dilation": dilation,
    }  # fmt: skip
    return "conv", given


def _step(
    where: str, image: _Space, output: str, kernel: str, sizes: Mapping[str, int]
) -> tuple[int, int]:
    """Stride and dilation along the axis where the image is met by these two."""
    for rank in image.ranks:
        by = {dim: [term - {dim} for term in rank if dim in term] for dim in (output, kernel)}
        if len(rank) == 2 and all(len(found) == 1 for found in by.values()):
            factors = [by[dim][0] for dim in (output, kernel)]
            if all(len(factor) <= 1 and not factor & CNN for factor in factors):
                stride, dilation = (sizes[next(iter(f))] if f else 1 for f in factors)
                return stride, dilation
    raise InputError(
        f"{where}.shape", f"no index of the image is a sum over {output} and {kernel}", need=NEED
    )


FORMAT = Timeloop()
