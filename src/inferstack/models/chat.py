"""`ChatTemplate`: a conversation as the text that a model was trained on.

The template is a program of the folder's in Jinja. It runs in Jinja's sandbox, sees the messages
alone, and may make neither huge numbers nor a huge text.
Source: transformers, utils/chat_template_utils.py, for what a template may use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import LARGEST_JSON_BYTES, folder_file, read_bytes, read_object

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

CONFIG, TEMPLATE = "tokenizer_config.json", "chat_template.jinja"
LARGEST_TEXT = 2**22
"""Characters of a conversation, and elements of any product in a template."""


class _RefusedError(Exception):
    """The template itself says that it cannot write this conversation, or goes too far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTemplate:
    """where: its file. source: in Jinja. tokens: bos_token and eos_token, if the folder says."""

    where: str
    source: str
    tokens: Mapping[str, str]

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The text up to where the model answers. messages: each a role and a content.

        Raises CheckpointError where the template cannot be run.
        """
        pieces, length = [], 0
        try:
            template = _environment().from_string(self.source)
            given = {"messages": list(messages), "add_generation_prompt": True, **self.tokens}
            for piece in template.generate(**given):
                pieces.append(piece)
                length += len(piece)
                if length > LARGEST_TEXT:
                    raise _RefusedError(f"a text of more than {LARGEST_TEXT:,} characters")
        except Exception as failure:  # noqa: BLE001 - a program of the folder's fails as it likes
            got = printable(f"{type(failure).__name__}: {failure}".removeprefix("_RefusedError: "))
            raise CheckpointError(self.where, "the chat template fails", got=got) from None
        return "".join(pieces)


def read_chat_template(folder: Path) -> ChatTemplate | None:
    """That of the folder; None where it has none. Raises CheckpointError."""
    config = read_object(folder, CONFIG) or {}
    tokens = {}
    for name in ("bos_token", "eos_token"):
        said = config.get(name)
        said = said.get("content") if isinstance(said, dict) else said
        if isinstance(said, str):
            tokens[name] = said
    path = folder_file(folder, TEMPLATE)
    if path is not None:
        source = read_bytes(path, LARGEST_JSON_BYTES).decode("utf-8", errors="replace")
        return ChatTemplate(where=str(path), source=source, tokens=tokens)
    said = config.get("chat_template")
    if isinstance(said, list):
        named = {one.get("name"): one.get("template") for one in said if isinstance(one, dict)}
        said = named.get("default")
    if said is None:
        return None
    where = str(folder / CONFIG)
    if not isinstance(said, str):
        raise CheckpointError(where, "chat_template is no text", got=printable(str(said)))
    return ChatTemplate(where=where, source=said, tokens=tokens)


def _environment() -> ImmutableSandboxedEnvironment:
    """Jinja's sandbox, with bounded products."""
    import operator

    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Bounded(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**", "%"})

        def call_binop(self, context: Any, operator_: str, left: Any, right: Any) -> Any:
            plain = isinstance(left, int | float) and isinstance(right, int | float)
            if not plain or abs(left) > LARGEST_TEXT or abs(right) > LARGEST_TEXT:
                raise _RefusedError(f"the product {operator_!r} of what is no small number")
            if operator_ == "**" and abs(right) > 64:
                raise _RefusedError("a power of more than 64")
            table: dict[str, Callable[[Any, Any], Any]] = {
                "*": operator.mul,
                "**": operator.pow,
                "%": operator.mod,
            }
            return table[operator_](left, right)

    environment = Bounded(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    environment.filters["tojson"] = _json
    return environment


def _refuse(message: str) -> None:
    raise _RefusedError(str(message))


def _now(form: str) -> str:
    """The time by `form`, as templates ask for it."""
    from datetime import datetime

    return datetime.now().strftime(form)


def _json(value: Any, indent: int | None = None) -> str:
    """JSON without escapes of HTML."""
    import json

    return json.dumps(value, ensure_ascii=False, indent=indent)
