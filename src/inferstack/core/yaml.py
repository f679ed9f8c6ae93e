"""YAML files as plain data: what can hide a mistake or an attack in YAML is refused.

Refused: duplicate keys (the first would vanish), anchors and aliases (a file of one kilobyte can
stand for gigabytes), tags (they build objects), more than one document, deep nesting, large files.
Numbers follow YAML 1.2: 1e9 is a number, `on` and 12:30 are text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import yaml

from inferstack.core.errors import InputError
from inferstack.core.foreign import recognised

LARGEST_FILE_BYTES = 1024 * 1024
DEEPEST_NESTING = 16

_INTEGER = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
_LONGEST_NUMBER = 64
_SHOWN_CHARACTERS = 40


class _RefusedError(Exception):
    """What the composer refuses; `read_yaml` turns it into the caller's error."""

    def __init__(self, what: str, mark: Any, hint: str) -> None:
        super().__init__(what)
        self.what, self.line, self.hint = what, mark.line + 1, hint


class _Composer(yaml.SafeLoader):
    """Composes nodes without anchors, aliases and tags, to a bounded depth."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = cast(Any, super()).peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _RefusedError(
                "anchors and aliases are not accepted", event.start_mark, "write the value out"
            )
        if event.tag is not None:
            raise _RefusedError(
                f"the tag {event.tag!r} is not accepted",
                event.start_mark,
                "only text, numbers, true, false, null, lists and mappings are read",
            )
        self.depth += 1
        if self.depth > DEEPEST_NESTING:
            raise _RefusedError(
                f"nested deeper than {DEEPEST_NESTING} levels", event.start_mark, "flatten the file"
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(path: Path, error: type[InputError]) -> object:
    """The content of `path` as dicts, lists, text, numbers, booleans and None.

    Raises `error`, with the file and the line, for what is not a readable UTF-8 YAML file.
    """
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise error(str(path), what, hint="give the path of a YAML file")
    size = path.stat().st_size
    if size > LARGEST_FILE_BYTES:
        raise error(
            str(path), "too large", got=f"{size:,} bytes", need=f"at most {LARGEST_FILE_BYTES:,}"
        )
    known = recognised(path)
    if known is not None and not known.is_yaml:
        raise error(str(path), "not a YAML file", got=known.what, hint=known.instead)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        raise error(
            str(path),
            f"not UTF-8 text (byte {failure.start})",
            hint="save the file with the encoding UTF-8",
        ) from None
    try:
        composer = _Composer(text)
        node = composer.get_single_node()
        return None if node is None else _plain(node)
    except _RefusedError as refused:
        raise error(f"{path}, line {refused.line}", refused.what, hint=refused.hint) from None
    except yaml.MarkedYAMLError as failure:
        mark = failure.problem_mark or failure.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise error(f"{path}{line}", f"not YAML: {failure.problem}") from None
    except yaml.YAMLError as failure:
        raise error(str(path), f"not YAML: {failure}".splitlines()[0]) from None


def _plain(node: Any) -> object:
    """The value of a node."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child) for child in node.value]
    if isinstance(node, yaml.MappingNode):
        content: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _RefusedError(
                    "a key is not text", key_node.start_mark, "use plain text as key"
                )
            if key_node.value in content:
                raise _RefusedError(
                    f"duplicate key {key_node.value!r}",
                    key_node.start_mark,
                    "keep one of the two; the other would be ignored",
                )
            content[key_node.value] = _plain(value_node)
        return content
    return _scalar(node)


def _scalar(node: Any) -> object:
    """A plain scalar read by YAML 1.2's core rules; a quoted one is text."""
    text: str = node.value
    if node.style is not None:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.match(text) or _FLOAT.match(text):
        if len(text) > _LONGEST_NUMBER:
            shown = text[:_SHOWN_CHARACTERS]
            raise _RefusedError(f"the number {shown}... is too long", node.start_mark, "round it")
        return int(text) if _INTEGER.match(text) else float(text)
    return text
