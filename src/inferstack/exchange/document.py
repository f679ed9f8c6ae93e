"""YAML text with a comment at the top, tags and short lines: the same input gives the same text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

LINE_CHARACTERS = 100


class Inline(dict[str, Any]):
    """A mapping that is written on one line."""


class Row(list[Any]):
    """A list that is written on one line."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A mapping behind a YAML tag; on one line where its content is Inline."""

    tag: str
    content: dict[str, Any]


class _Dumper(yaml.SafeDumper):
    """Knows the classes above, and writes no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _inline(dumper: yaml.SafeDumper, data: Inline) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)


def _row(dumper: yaml.SafeDumper, data: Row) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


def _tagged(dumper: yaml.SafeDumper, data: Tagged) -> yaml.Node:
    flow = isinstance(data.content, Inline)
    return dumper.represent_mapping(f"!{data.tag}", data.content, flow_style=flow)


_Dumper.add_representer(Inline, _inline)
_Dumper.add_representer(Row, _row)
_Dumper.add_representer(Tagged, _tagged)


def document(content: dict[str, Any], remarks: Sequence[str]) -> str:
    """The text of a file; each remark becomes a paragraph of comments at its top."""
    lines = []
    for remark in remarks:
        lines += textwrap.wrap(
            remark, LINE_CHARACTERS, initial_indent="# ", subsequent_indent="#   "
        )
    text = yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, width=LINE_CHARACTERS, default_flow_style=False
    )
    return "\n".join([*lines, text])
