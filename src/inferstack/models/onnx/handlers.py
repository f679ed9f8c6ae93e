"""Finds what `operators/` and `forms/` offer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from inferstack.core.plugins import discover
from inferstack.models.onnx.file import Node, Shapes

ShapeRule = Callable[[Node, Shapes], Shapes]
"""The shapes of the outputs, as many as matter, from those of the inputs."""


@cache
def handlers() -> dict[str, Any]:
    """By kind of node, what makes ours of it."""
    from inferstack.models.onnx import operators

    return {
        kind: made
        for table in discover(operators, "OPERATORS").values()
        for kind, made in table.items()
    }


@cache
def shape_rules() -> dict[str, ShapeRule]:
    """By kind of node, the shapes of what it makes."""
    from inferstack.models.onnx import operators

    return {
        kind: rule
        for table in discover(operators, "SHAPES").values()
        for kind, rule in table.items()
    }


@cache
def forms() -> tuple[Any, ...]:
    """All of them."""
    from inferstack.models.onnx import forms as package

    return tuple(discover(package, "FORM").values())
