"""Constant expressions of C headers: whole numbers, brackets, operators, and other macros.

`#define BANK_ROWS ((1 << 12) / 2)`. Nothing is executed: the expression is parsed, and each of its
operators computed here. A macro stands for its text: behind `#define A 1 + 2`, `A * 2` is 5.
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
_NAME = re.compile(r"\b[A-Za-z_]\w*")
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
    try:
        return _Macros(macros).value(name, ())
    except RecursionError:
        raise ValueError("it is nested too deep") from None


class _Macros:
    """Texts and values of macros, each found once. inside: the macros that lead to one."""

    def __init__(self, macros: Mapping[str, str]) -> None:
        self.macros = macros
        self.texts: dict[str, str] = {}
        self.values: dict[str, int] = {}

    def value(self, name: str, inside: tuple[str, ...]) -> int:
        """Of a macro."""
        if name not in self.values:
            text = self.text(name, inside)
            try:
                tree = ast.parse(text, mode="eval")
            except (SyntaxError, MemoryError):
                raise ValueError("no constant expression") from None
            self.values[name] = self._computed(tree.body, (*inside, name))
        return self.values[name]

    def text(self, name: str, inside: tuple[str, ...]) -> str:
        """A macro's text as Python reads it, with the text of the macros in it where theirs is no
        number, name or bracket: what stands around it goes between its parts."""
        if name in inside:
            raise ValueError(f"{name} leads back to itself")
        if name not in self.macros:
            raise ValueError(f"{name} is not defined")
        if len(inside) == MOST_MACROS:
            raise ValueError("macros stand inside of each other too deep")
        if name not in self.texts:
            text = _SUFFIX.sub(r"\1", self.macros[name].strip())
            if not text or _OTHER.search(text):
                raise ValueError("no constant expression")
            text = _OCTAL.sub(r"0o\1", text).replace("/", "//")

            def pasted(found: re.Match[str]) -> str:
                if found[0] not in self.macros:
                    return found[0]
                own = self.text(found[0], (*inside, name))
                return found[0] if _is_whole(own) else own

            self.texts[name] = _NAME.sub(pasted, text)
            if len(self.texts[name]) > LONGEST:
                raise ValueError("no constant expression")
        return self.texts[name]

    def _computed(self, node: ast.expr, inside: tuple[str, ...]) -> int:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            found = node.value
        elif isinstance(node, ast.Name):
            found = self.value(node.id, inside)
        elif isinstance(node, ast.UnaryOp) and type(node.op) in _ONE:
            found = _ONE[type(node.op)](self._computed(node.operand, inside))
        elif isinstance(node, ast.BinOp) and type(node.op) in _TWO:
            left, right = (self._computed(side, inside) for side in (node.left, node.right))
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


def _is_whole(text: str) -> bool:
    """Whether a text is one number, one name, or one pair of brackets."""
    if re.fullmatch(r"\w+", text):
        return True
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return at == len(text) - 1 and letter == ")"
    return False
