"""What a machine file says, over the machine that it extends.

Mappings merge, everything else replaces. `remove: true` takes a part of the other machine out, and
a new level says with `inside` which level it stands directly in.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from inferstack.core.errors import AcceleratorError
from inferstack.core.forms import shown

REMOVE, INSIDE = "remove", "inside"


def merged(where: str, base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with what `over` says; without sources of the base that no number names any more.

    where: of `over`, for messages. Raises AcceleratorError.
    """
    whole = _over(where, base, over, top=True)
    sources = whole.get("sources")
    if isinstance(sources, dict):
        own = over.get("sources")
        kept = set(own) if isinstance(own, dict) else set()
        whole["sources"] = _used(whole, sources, kept)
    return whole


def without_unused_sources(content: Mapping[str, Any]) -> dict[str, Any]:
    """A whole description without sources that no number names."""
    return {**content, "sources": _used(content, content["sources"], set())}


def _used(content: Mapping[str, Any], sources: Mapping[str, Any], kept: set[str]) -> dict[str, Any]:
    named = {*_named({k: v for k, v in content.items() if k != "sources"}), *kept}
    return {key: source for key, source in sources.items() if key in named}


def _named(value: object) -> Iterator[str]:
    """The second of each pair: the source, where the pair is a number."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], str):
        yield value[1]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inner:
        yield from _named(part)


def _over(
    where: str, base: Mapping[str, Any], over: Mapping[str, Any], *, top: bool = False
) -> dict[str, Any]:
    """top: whether these are the first keys of the file, and `where` is its path."""
    whole = dict(base)
    for key, value in over.items():
        place = f"{where}, {key}" if top else f"{where}.{key}"
        below = whole.get(key)
        if isinstance(value, dict) and REMOVE in value:
            _check_removal(place, key, value, base)
            del whole[key]
        elif isinstance(below, dict) and isinstance(value, dict):
            inner = _levels if key == "levels" and top else _over
            whole[key] = inner(place, below, value)
        else:
            whole[key] = value
    return whole


def _check_removal(place: str, key: str, value: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    """Raises AcceleratorError where there is nothing to remove, or more is said than that."""
    if dict(value) != {REMOVE: True} or value[REMOVE] is not True:
        raise AcceleratorError(
            f"{place}.{REMOVE}", "stands by itself, and is true", got=shown(dict(value)),
            need="{remove: true}",
        )  # fmt: skip
    if key not in base:
        raise _unknown(place, "has nothing to remove", key, base, None)


def _levels(where: str, base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The levels, outermost first; new ones directly inside of the level that they name."""
    known = {key: value for key, value in over.items() if key in base or _removes(value)}
    whole = _over(where, base, known)
    for name, value in over.items():
        if name in known:
            if isinstance(value, dict) and INSIDE in value:
                raise AcceleratorError(
                    f"{where}.{name}.{INSIDE}", "says where a new level stands, and this is none",
                    hint="a level of the machine that is extended stays where it is",
                )  # fmt: skip
            continue
        if not isinstance(value, dict) or INSIDE not in value:
            more = (
                f"a new level says where it stands: `{INSIDE}: {next(reversed([*base]), 'dram')}`"
            )
            raise _unknown(f"{where}.{name}", "is no level of the machine", name, base, more)
        outer = value[INSIDE]
        if not isinstance(outer, str) or outer not in whole:
            raise _unknown(f"{where}.{name}.{INSIDE}", "is no level", outer, whole, None)
        own = {key: part for key, part in value.items() if key != INSIDE}
        entries = list(whole.items())
        at = list(whole).index(outer) + 1
        whole = dict([*entries[:at], (name, own), *entries[at:]])
    return whole


def _removes(value: object) -> bool:
    return isinstance(value, dict) and REMOVE in value


def _unknown(
    place: str, what: str, name: object, known: Mapping[str, Any], more: str | None
) -> AcceleratorError:
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hints = [f"did you mean {near[0]!r}?"] if near else []
    hints += [f"there are {', '.join(known)}"] + ([more] if more else [])
    return AcceleratorError(place, what, got=shown(name), hint="; ".join(hints))
