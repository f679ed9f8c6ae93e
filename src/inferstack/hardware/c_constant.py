"""Constant expressions of C headers: whole numbers, brackets, operators, and other macros.

`#define BANK_ROWS ((1 << 12) / 2)`. Nothing is executed: the expression is parsed, and each of its
operators computed here.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping

LONGEST = 400
LARGEST = 2**64 - 1
MOST_MACROS = 32
_OTHER = re.compile(r"[^A-Za-z0-9_+\-*/%&|^~()<> \t]|[0-9]_|//|\*\*")
_SUFFIX = re.compile(r"\b(0[xX][0-9a-fA-F]+|[0-9]+)(?:[uU][lL]{0,2}|[lL]{1,2}[uU]?)\b")
_OCTAL = re.compile(r"\b0([0-9]+)\b")
_TWO: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: lambda a, b: (1 if (a < 0) == (b < 0) else -1) * (abs(a) // abs(b)),
    ast.Mod: lambda a, b: (-1 if a < 0 else 1) * (abs(a) % abs(b)),
    ast.LShift: lambda a, b: a << min(b, 64),
    ast.RShift: lambda a, b: a >> min(b, 64),
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_ONE: Mapping[type[ast.unaryop], Callable[[int], int]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
}


def constant(name: str, macros: Mapping[str, str]) -> int:
    """The value of a macro. Raises ValueError that says why it has none."""
    return _macro(name, macros, ())


def _macro(name: str, macros: Mapping[str, str], inside: tuple[str, ...]) -> int:
    if name in inside:
        raise ValueError(f"{name} leads back to itself")
    if name not in macros:
        raise ValueError(f"{name} is not defined")
    if len(inside) == MOST_MACROS:
        raise ValueError("macros stand inside of each other too deep")
    text = _SUFFIX.sub(r"\1", macros[name].strip())
    if not text or len(text) > LONGEST or _OTHER.search(text):
        raise ValueError("no constant expression")
    text = _OCTAL.sub(r"0o\1", text).replace("/", "//")
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError("no constant expression") from None
    return _value(tree.body, macros, (*inside, name))


def _value(node: ast.expr, macros: Mapping[str, str], inside: tuple[str, ...]) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        found = node.value
    elif isinstance(node, ast.Name):
        found = _macro(node.id, macros, inside)
    elif isinstance(node, ast.UnaryOp) and type(node.op) in _ONE:
        found = _ONE[type(node.op)](_value(node.operand, macros, inside))
    elif isinstance(node, ast.BinOp) and type(node.op) in _TWO:
        left, right = (_value(side, macros, inside) for side in (node.left, node.right))
        if right == 0 and isinstance(node.op, ast.FloorDiv | ast.Mod):
            raise ValueError("it divides by 0")
        if right < 0 and isinstance(node.op, ast.LShift | ast.RShift):
            raise ValueError("it shifts by less than 0")
        found = _TWO[type(node.op)](left, right)
    else:
        raise ValueError("no constant expression")
    if abs(found) > LARGEST:
        raise ValueError("it is larger than 64 bits")
    return found
