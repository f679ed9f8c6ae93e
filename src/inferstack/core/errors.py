"""The error tree. What the user got wrong raises one of these; the programmer's mistakes assert.

    InferStackError            exit code 2
    ├── InputError             a file, flag or value that the user gave
    │   ├── UnknownNameError   a name that does not exist, with the nearest that does
    │   ├── CheckpointError    a model: its folder, GGUF or ONNX file, weights, tokenizer
    │   ├── AcceleratorError   an accelerator description
    │   ├── DataError          sentences, pairs, texts, sounds, images
    │   └── MappingError       a mapping file
    ├── MissingExtraError      an optional dependency is not installed
    └── CheckFailedError       a check of ours failed (exit code 1)

"Does not fit" is no error: it is the value `core.infeasible.Infeasible` (exit code 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from inferstack.core.text import message_part


class InferStackError(Exception):
    """`<where>: <what>; got <got>, need <need>`, a blank line, `hint: <hint>`."""

    exit_code = 2

    def __init__(
        self,
        where: str,
        what: str,
        *,
        got: object = None,
        need: object = None,
        hint: str | None = None,
    ) -> None:
        self.where, self.what, self.got, self.need, self.hint = where, what, got, need, hint
        super().__init__(self.message())

    def message(self) -> str:
        """The whole text that the user reads."""
        details = [f"got {message_part(self.got)}"] if self.got is not None else []
        details += [f"need {message_part(self.need)}"] if self.need is not None else []
        text = f"{message_part(self.where)}: {message_part(self.what)}"
        if details:
            text += "; " + ", ".join(details)
        if self.hint:
            text += f"\n\nhint: {message_part(self.hint)}"
        return text


class InputError(InferStackError):
    """A file, flag or value that the user gave is wrong."""


class CheckpointError(InputError):
    """A model cannot be used."""


class AcceleratorError(InputError):
    """An accelerator description cannot be used."""


class DataError(InputError):
    """Sentences, a text, a sound or an image cannot be used."""


class MappingError(InputError):
    """A mapping file cannot be used."""


MOST_LISTED, NEAREST = 30, 5
"""Names that a hint lists; of more of them, the nearest."""


class UnknownNameError(InputError):
    """A name that does not exist; the hint gives the nearest one that does, and all others.

    suggest: False where the nearest name would mean something else, such as another model's type.
    Of more than `MOST_LISTED` names the nearest stand in the hint alone, with `listed_by`, the
    command that lists all, where there is one.
    """

    def __init__(
        self,
        where: str,
        kind: str,
        name: str,
        known: Iterable[str],
        *,
        suggest: bool = True,
        listed_by: str | None = None,
    ) -> None:
        names = sorted(known)
        nearest = suggest and difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        if listed_by is not None and len(names) > MOST_LISTED:
            near = difflib.get_close_matches(name.lower(), names, n=NEAREST, cutoff=0.3)
            some = f", {', '.join(near)} among them" if near else ""
            hint += f"{len(names)} {kind}s are known{some}; `{listed_by}` lists all"
        else:
            hint += f"{kind}s known: {', '.join(names)}"
        super().__init__(where, f"unknown {kind}", got=repr(name), hint=hint)


class MissingExtraError(InferStackError):
    """An optional dependency is not installed."""

    def __init__(self, where: str, package: str, extra: str) -> None:
        super().__init__(
            where,
            f"the package {package!r} is not installed",
            hint=f"pip install 'inferstack[{extra}]'",
        )


class CheckFailedError(InferStackError):
    """A check of ours failed: bit-exactness, a certificate, a bound."""

    exit_code = 1
