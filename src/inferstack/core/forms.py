"""A file's first mistake against its form, in words that say what to write: for every reader."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

LONGEST_SHOWN = 60
PRINTABLE = r"^(?:[^\p{C}\p{Z}]| )*$"
"""Names of users' files: they stand in tables, in messages and in other files."""
PRINTABLE_LINES = r"^(?:[^\p{C}\p{Z}]|[ \t\r\n])*$"
WANTED = {
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
    "string_unicode": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "finite_number": "a finite number",
}
BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
LENGTHS = {"min_length": "at least", "max_length": "at most"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """keys: the way to it. kind: of the checker. got, need, hint: for a message; None without."""

    keys: tuple[str, ...]
    kind: str
    what: str
    got: str | None = None
    need: str | None = None
    hint: str | None = None

    @property
    def place(self) -> str:
        """The keys with dots between them."""
        return ".".join(self.keys)


def first_fault(form: type[BaseModel], failure: ValidationError) -> Fault:
    """The first mistake of a file. form: of the whole file."""
    problem = failure.errors()[0]
    keys, kind = tuple(map(str, problem["loc"])), problem["type"]
    got, limits = shown(problem["input"]), problem.get("ctx", {})
    if kind == "missing":
        return Fault(keys=keys, kind=kind, what="missing")
    if kind == "extra_forbidden":
        known = known_keys(form, keys[:-1])
        near = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        hint += f"keys known here: {', '.join(known)}"
        return Fault(keys=keys, kind=kind, what="unknown key", hint=hint)
    if kind in WANTED:
        return Fault(keys=keys, kind=kind, what="wrong kind of value", got=got, need=WANTED[kind])
    if limits.get("pattern") in (PRINTABLE, PRINTABLE_LINES):
        need = "text that prints"
        return Fault(keys=keys, kind=kind, what="wrong kind of value", got=got, need=need)
    for bounds, what in ((BOUNDS, "out of range"), (LENGTHS, "too short or too long")):
        for name, words in bounds.items():
            if name in limits:
                limit = limits[name]
                need = f"{words} {limit:g}" if isinstance(limit, float) else f"{words} {limit}"
                return Fault(keys=keys, kind=kind, what=what, got=got, need=need)
    if kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", str(limits.get("expected", "")))
        near = difflib.get_close_matches(str(problem["input"]), choices, n=1, cutoff=0.5)
        return Fault(
            keys=keys,
            kind=kind,
            what="no such choice",
            got=got,
            need=f"one of {', '.join(choices)}",
            hint=f"did you mean {near[0]!r}?" if near else None,
        )
    return Fault(keys=keys, kind=kind, what="not what can stand here", got=got)


def shown(value: object) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def known_keys(form: type[BaseModel], keys: tuple[str, ...]) -> list[str]:
    """The keys that a form knows at a place."""
    from pydantic import BaseModel

    model: Any = form
    for key in keys:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            continue
        field = model.model_fields.get(key)
        inner = _models_in(field.annotation) if field else []
        model = inner[0] if inner else model
    return sorted(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models inside dict[..., Model], Model | None and the like."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in _models_in(inner)]
