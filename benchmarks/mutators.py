"""Small wrong changes of Python code: every place where one can be made, and the changed source.

Left out is what no test could or should see: docstrings, annotations, decorators, the texts and
fields of errors, asserts and `strict` of zip (they are checks themselves), `__repr__`, code for
type checkers only, the inside of f-strings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
FOR_TYPES = ("cast", "TypeVar", "ParamSpec", "NewType", "Literal")
CHECKS = ("strict",)
"""Keywords that only say what would be an error."""
NO_CODE = ("__repr__", "__slots__", "__all__")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change. path: from the root of the package. function: qualified, "" at the top level.

    text: of the line. start, end: of what is replaced, in bytes of the file. before, after: source.
    """

    path: str
    function: str
    line: int
    text: str
    kind: str
    start: int
    end: int
    before: str
    after: str

    @property
    def change(self) -> str:
        """The change on one line."""
        return f"{' '.join(self.before.split())} -> {' '.join(self.after.split())}"

    def applied(self, source: str) -> str:
        """The source with the change in it."""
        raw = source.encode()
        return (raw[: self.start] + self.after.encode() + raw[self.end :]).decode()


def places(path: str, source: str) -> list[list[Mutant]]:
    """What can be changed in a file: by place, the mutants of that place."""
    return _Places(path, source).found


def is_other(mutant: Mutant, source: str) -> bool:
    """Whether the changed source is Python, and another program than `source`."""
    try:
        changed = ast.parse(mutant.applied(source))
    except SyntaxError:
        return False
    return ast.dump(changed) != ast.dump(ast.parse(source))


class _Places:
    """Walks a module and gathers its places."""

    def __init__(self, path: str, source: str):
        self.path, self.source = path, source
        self.lines = [0]
        for line in source.encode().splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        self.found: list[list[Mutant]] = []
        self._body(ast.parse(source).body, ())

    def _body(self, body: list[ast.stmt], scope: tuple[str, ...]) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, node: ast.stmt, scope: tuple[str, ...]) -> None:
        if _is_typing(node):
            return
        if isinstance(node, ast.FunctionDef):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                self._expression(default, scope)
            self._body(node.body, (*scope, node.name))
            return
        if isinstance(node, ast.ClassDef):
            self._body(node.body, (*scope, node.name))
            return
        self._deleted(node, scope)
        if isinstance(node, ast.Raise):
            return
        if isinstance(node, ast.Return) and node.value is not None:
            self._returned(node.value, scope)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "target", "targets", "type_comment"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.stmt):
                    self._statement(child, scope)
                elif isinstance(child, ast.ExceptHandler):
                    self._body(child.body, scope)
                elif isinstance(child, ast.withitem):
                    self._expression(child.context_expr, scope)
                elif isinstance(child, ast.expr):
                    self._expression(child, scope)
        if isinstance(node, ast.If | ast.While):
            self._condition(node.test, scope, only_false=isinstance(node, ast.While))
        if isinstance(node, ast.AugAssign):
            self._augmented(node, scope)

    def _expression(self, node: ast.AST | None, scope: tuple[str, ...]) -> None:
        if node is None or isinstance(node, ast.JoinedStr):
            return
        if isinstance(node, ast.Call):
            name = _name(node.func)
            if name.endswith("Error") or name in FOR_TYPES:
                return
        if isinstance(node, ast.expr):
            self._places(node, list(_changed(node)), scope)
        for child in ast.iter_child_nodes(node):
            if not (isinstance(child, ast.keyword) and child.arg in CHECKS):
                self._expression(child, scope)
        if isinstance(node, ast.IfExp):
            self._condition(node.test, scope)
        if isinstance(node, ast.comprehension):
            for test in node.ifs:
                self._condition(test, scope)

    def _condition(
        self, node: ast.expr, scope: tuple[str, ...], *, only_false: bool = False
    ) -> None:
        values = ["False"] if only_false else ["True", "False"]
        self._places(node, [("condition", value) for value in values], scope)

    def _returned(self, node: ast.expr, scope: tuple[str, ...]) -> None:
        if not isinstance(node, ast.Constant):
            self._places(node, [("returned value", "None")], scope)

    def _deleted(self, node: ast.stmt, scope: tuple[str, ...]) -> None:
        told = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        set_in_place = isinstance(node, ast.AugAssign) or (
            isinstance(node, ast.Assign)
            and all(isinstance(t, ast.Attribute | ast.Subscript) for t in node.targets)
        )
        if told or set_in_place or isinstance(node, ast.Raise | ast.Continue | ast.Break):
            self._places(node, [("deleted", "pass")], scope)

    def _augmented(self, node: ast.AugAssign, scope: tuple[str, ...]) -> None:
        other = COMPUTED.get(type(node.op))
        if other is not None:
            changed = ast.AugAssign(node.target, other(), node.value)
            self._places(node, [("arithmetic", ast.unparse(changed))], scope)

    def _places(
        self, node: ast.expr | ast.stmt, changes: list[tuple[str, str]], scope: tuple[str, ...]
    ) -> None:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.lines[node.lineno - 1] + node.col_offset
        end = self.lines[node.end_lineno - 1] + node.end_col_offset
        before = self.source.encode()[start:end].decode()
        if changes:
            self.found.append(
                [
                    Mutant(
                        path=self.path,
                        function=".".join(scope),
                        line=node.lineno,
                        text=self.source.splitlines()[node.lineno - 1].strip(),
                        kind=kind,
                        start=start,
                        end=end,
                        before=before,
                        after=after,
                    )
                    for kind, after in changes
                ]
            )


def _is_typing(node: ast.stmt) -> bool:
    """Whether no run sees the statement, or only to check itself."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert | ast.Global | ast.Nonlocal):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.FunctionDef):
        return node.name in NO_CODE or any(_name(d) == "overload" for d in node.decorator_list)
    if isinstance(node, ast.ClassDef):
        return any(_name(base) == "Protocol" for base in node.bases)
    return isinstance(node, ast.Assign) and any(_name(t) in NO_CODE for t in node.targets)


def _name(node: ast.expr) -> str:
    """The last part of a dotted name, "" for other expressions."""
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    return getattr(node, "id", getattr(node, "attr", ""))


def _changed(node: ast.expr) -> Iterator[tuple[str, str]]:
    """(kind, source) of every change of one expression, its parts left as they are."""
    for kind, changed in _expressions(node):
        text = ast.unparse(changed)
        yield kind, text if isinstance(changed, ast.Name | ast.Constant) else f"({text})"


def _expressions(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            for other in COMPARED[type(operator)]:
                ops = [*node.ops[:at], other(), *node.ops[at + 1 :]]
                yield "comparison", ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BoolOp):
        other_op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or", ast.BoolOp(other_op, node.values)
        for at in range(len(node.values)):
            left = [*node.values[:at], *node.values[at + 1 :]]
            yield "operand left out", left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
    elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED:
        yield "arithmetic", ast.BinOp(node.left, COMPUTED[type(node.op)](), node.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield "sign or not left out", node.operand
    elif isinstance(node, ast.Constant):
        yield from _constants(node.value)
    elif isinstance(node, ast.Call):
        yield from _calls(node)


def _constants(value: object) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(value, bool):
        yield "constant", ast.Constant(not value)
    elif isinstance(value, int | float):
        yield "constant", ast.Constant(value + 1)
    elif isinstance(value, str):
        yield "constant", ast.Constant(f"{value}x")


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    name = _name(node.func)
    if isinstance(node.func, ast.Name) and name in SWAPPED:
        yield "other function", ast.Call(ast.Name(SWAPPED[name]), node.args, node.keywords)
    if len(node.args) > 1 and name not in SWAPPED:
        first, second, *others = node.args
        yield "arguments swapped", ast.Call(node.func, [second, first, *others], node.keywords)
    if node.args and (len(node.args) > 1 or name in SWAPPED):
        yield "argument left out", ast.Call(node.func, node.args[:-1], node.keywords)
    for at, keyword in enumerate(node.keywords):
        if keyword.arg in CHECKS:
            continue
        left = [*node.keywords[:at], *node.keywords[at + 1 :]]
        yield "argument left out", ast.Call(node.func, node.args, left)
