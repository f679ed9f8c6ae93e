"""Finds the rules: every file of this folder with a `RULE`, and outsiders' entry points."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import inferstack.ops
from inferstack.core.errors import UnknownNameError
from inferstack.core.plugins import discover
from inferstack.ir.graph import Operator
from inferstack.ops.rule import Rule


@cache
def rules() -> dict[str, Rule]:
    """All rules by kind."""
    return {rule.kind: rule for rule in discover(inferstack.ops, "RULE").values()}


def assumptions(kinds: Iterable[str]) -> tuple[str, ...]:
    """What the loops of these kinds take for granted, each said once."""
    known = rules()
    return tuple(dict.fromkeys(said for kind in kinds if (said := known[kind].assumes)))


def rule_for(operator: Operator) -> Rule:
    """The rule of an operator's kind. Raises UnknownNameError."""
    known = rules()
    if operator.kind not in known:
        raise UnknownNameError(f"operator {operator.name}", "operator kind", operator.kind, known)
    return known[operator.kind]
