"""What tells a Whisper what to write: tokens of languages and tasks, out of generation_config.json.

Source: transformers, models/whisper/generation_whisper.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inferstack.core.errors import CheckpointError, UnknownNameError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile, read_object
from inferstack.models.text_tokenizer import GENERATION

TRANSCRIBE, TRANSLATE = "transcribe", "translate"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechTokens:
    """start: of every text. languages, tasks: ids by name, none of a model of one language.
    untimed: says that no times stand in the text."""

    start: int
    languages: Mapping[str, int] = field(default_factory=dict)
    tasks: Mapping[str, int] = field(default_factory=dict)
    untimed: int | None = None

    def language(self, name: str) -> int:
        """The id of a language, such as en. Raises UnknownNameError."""
        found = self.languages.get(name.lower())
        if found is None:
            known = self.languages or ["none: the model knows one language"]
            raise UnknownNameError("--language", "language", name, known)
        return found

    def prompt(self, language: int | None, task: str) -> tuple[int, ...]:
        """Ids in front of the text. Raises UnknownNameError."""
        ids = [self.start] if language is None else [self.start, language]
        if self.tasks:
            if task not in self.tasks:
                raise UnknownNameError("--task", "task", task, self.tasks)
            ids.append(self.tasks[task])
        elif task != TRANSCRIBE:
            raise UnknownNameError("--task", "task", task, [TRANSCRIBE])
        return tuple(ids) if self.untimed is None else (*ids, self.untimed)


def read_speech_tokens(folder: Path, start: int, rows: int) -> SpeechTokens:
    """start: what the decoder begins with. rows: of the vocabulary. Raises CheckpointError."""
    file = ConfigFile(str(folder / GENERATION), read_object(folder, GENERATION) or {})
    untimed = None
    if file.has("no_timestamps_token_id"):
        untimed = file.whole("no_timestamps_token_id", rows - 1, least=0)
    languages = _named(file, "lang_to_id", rows)
    return SpeechTokens(
        start=start,
        languages={name.strip("<|>").lower(): token for name, token in languages.items()},
        tasks=_named(file, "task_to_id", rows) if languages else {},
        untimed=untimed,
    )


def _named(file: ConfigFile, key: str, rows: int) -> dict[str, int]:
    value = file.optional(key, None) or {}
    if not isinstance(value, dict) or not all(
        type(one) is int and 0 <= one < rows for one in value.values()
    ):
        need = f"ids under {rows:,} by name"
        raise CheckpointError(
            file.where, f"{key} makes no sense", got=printable(str(value)), need=need
        )
    return value
