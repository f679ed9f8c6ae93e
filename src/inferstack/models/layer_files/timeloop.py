"""Timeloop's problems: one operator over data spaces, read where it is a matmul or a CNN layer.

Source: NVlabs/timeloop, doc/problem; Accelergy-Project/timeloop-accelergy-exercises, problems.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inferstack.core.errors import InputError
from inferstack.core.yaml import read_yaml
from inferstack.models.layer_spec import LayerSpec, layer

PRODUCT_DIMS = 3
CNN = frozenset("CPQRS")
"""Dimensions that every shape of a CNN layer has; output channels are K or M, the batch is N."""


class TimeloopFormat:
    """See the module."""

    title = "a problem of Timeloop (YAML: matmul, or a CNN layer with C, K or M, P, Q, R, S, N)"

    def recognises(self, path: Path, text: str) -> bool:
        """YAML that begins with `problem:`."""
        lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
        return path.suffix.lower() != ".csv" and bool(lines) and lines[0].startswith("problem")

    def read(self, path: Path, text: str) -> tuple[LayerSpec, ...]:
        """See `LayerFormat`."""
        content = read_yaml(path, InputError)
        problem = self._part(path, "problem", content, "problem")
        shape = self._part(path, "problem.shape", problem, "shape")
        instance = dict(self._part(path, "problem.instance", problem, "instance"))
        names = shape.get("dimensions")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"{path}, problem.shape.dimensions", "is no list of names")
        sizes = {name: self._size(path, name, instance.get(name)) for name in names}
        spaces = shape.get("data_spaces", shape.get("data-spaces"))
        if not isinstance(spaces, list) or len(spaces) != PRODUCT_DIMS:
            where = f"{path}, problem.shape.data_spaces"
            raise InputError(where, "are not two factors and a result")
        name = str(shape.get("name", path.stem))
        if len(names) == PRODUCT_DIMS:
            return (self._product(path, name, sizes, spaces),)
        if set(names) >= CNN:
            return (self._convolution(path, name, sizes, instance),)
        raise InputError(
            f"{path}, problem.shape.dimensions", "neither a matmul nor a CNN layer",
            got=", ".join(names), need="three dimensions, or C, K or M, P, Q, R, S and N",
        )  # fmt: skip

    def _part(self, path: Path, where: str, content: object, key: str) -> Mapping[str, Any]:
        found = content.get(key) if isinstance(content, Mapping) else None
        if not isinstance(found, Mapping):
            hint = "a shape that names a file of its own is not followed: write it out"
            raise InputError(f"{path}, {where}", "missing", need="a mapping", hint=hint)
        return found

    def _size(self, path: Path, name: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(
                f"{path}, problem.instance.{name}", "is no size", got=value, need="a whole number"
            )
        return value

    def _product(
        self, path: Path, name: str, sizes: Mapping[str, int], spaces: list[Any]
    ) -> LayerSpec:
        """The result has two of the dimensions, the third is summed over."""
        where = f"{path}, problem.shape.data_spaces"
        dims = [self._dims(where, space) for space in spaces]
        results = [d for d, s in zip(dims, spaces, strict=True) if self._is_result(s)]
        if len(results) != 1 or len(results[0]) != 2:
            raise InputError(where, "are not two factors and one result of two dimensions")
        (reduction,) = set(sizes) - set(results[0])
        factors = [set(d) for d, s in zip(dims, spaces, strict=True) if not self._is_result(s)]
        first = next((d for d in results[0] if {d, reduction} == factors[0]), None)
        second = next((d for d in results[0] if {d, reduction} == factors[1]), None)
        if first is None or second is None or first == second:
            raise InputError(where, "are no matmul", got="; ".join(map(", ".join, dims)))
        given = {"m": sizes[first], "k": sizes[reduction], "n": sizes[second]}
        return layer(str(path), name, "matmul", given)

    def _is_result(self, space: Any) -> bool:
        return bool(space.get("read_write", space.get("read-write", False)))

    def _dims(self, where: str, space: Any) -> tuple[str, ...]:
        try:
            flat = [term for index in space["projection"] for term in index]
            names = [term[0] for term in flat]
        except (TypeError, KeyError, IndexError):
            raise InputError(where, "a projection is no list of indices") from None
        if any(len(term) > 1 for term in flat) or not all(isinstance(n, str) for n in names):
            raise InputError(where, "a matmul's indices have no coefficients", got=names)
        return tuple(names)

    def _convolution(
        self, path: Path, name: str, sizes: Mapping[str, int], instance: Mapping[str, Any]
    ) -> LayerSpec:
        """Padding is in the image: P and Q are what is computed."""
        outputs = sizes.get("M", sizes.get("K", 1))
        strides = {instance.get(key, 1) for key in ("Hstride", "Wstride")}
        dilations = {instance.get(key, 1) for key in ("Hdilation", "Wdilation")}
        if len(strides) > 1 or len(dilations) > 1:
            raise InputError(
                f"{path}, problem.instance", "strides or dilations differ by direction",
                got=", ".join(map(str, [*strides, *dilations])), need="equal ones",
            )  # fmt: skip
        stride = self._size(path, "Hstride", strides.pop())
        dilation = self._size(path, "Hdilation", dilations.pop())
        given = {
            "c": sizes["C"],
            "n": outputs,
            "h": stride * (sizes["P"] - 1) + dilation * (sizes["R"] - 1) + 1,
            "w": stride * (sizes["Q"] - 1) + dilation * (sizes["S"] - 1) + 1,
            "r": sizes["R"],
            "s": sizes["S"],
            "stride": stride,
            "dilation": dilation,
            "batch": sizes.get("N", 1),
        }
        return layer(str(path), name, "conv", given)


FORMAT = TimeloopFormat()
