"""`Transcriber`: a model that writes down what is said in a sound, ready to run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inferstack.api.shown import Record, Shown
from inferstack.core.errors import CheckpointError
from inferstack.core.progress import Progress, silent

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inferstack.generate.speech import Listener, Said


class Transcript(Shown):
    """What is said. windows: parts of the sound, each with start_s, end_s, text and ids."""

    __slots__ = ("windows",)

    def __init__(self, windows: tuple[Said, ...]) -> None:
        self.windows = windows

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(one.text for one in self.windows if one.text)

    def table(self) -> RenderableType:
        """The text, for rich."""
        from rich.text import Text

        return Text(self.text)

    def to_dict(self) -> Record:
        """The text, and that of each window with its seconds."""
        return {"text": self.text, "windows": self.records()}

    def records(self) -> list[Record]:
        """A row per window."""
        return [
            {"start_s": one.start_s, "end_s": one.end_s, "text": one.text} for one in self.windows
        ]


class Transcriber:
    """Sound in, text out."""

    __slots__ = ("listener", "name")

    def __init__(self, name: str, listener: Listener) -> None:
        self.name, self.listener = name, listener

    def transcribe(
        self,
        sound: str | Path,
        *,
        language: str | None = None,
        task: str = "transcribe",
        max_tokens: int | None = None,
        progress: Progress = silent,
    ) -> Transcript:
        """Of a WAV file. language: such as en; a model of several finds it out. task: transcribe,
        or translate into English. max_tokens: of each window.

        Raises DataError for a file that is no sound, UnknownNameError and InputError.
        """
        from inferstack.models.wav_file import read_wav

        samples = read_wav(Path(sound), self.listener.log_mel.rate_hz)
        said = self.listener.transcribed(
            samples, language=language, task=task, max_tokens=max_tokens, progress=progress
        )
        return Transcript(said)

    def __repr__(self) -> str:
        of = self.listener.reader.model.description
        return f"<Transcriber {self.name}: {of.encoder.depth} and {of.decoder.depth} layers>"


def loaded_transcriber(folder: Path) -> Transcriber:
    """The checkpoint as it is, in float32. Raises CheckpointError."""
    from inferstack.generate.source import Reader
    from inferstack.generate.speech import Listener
    from inferstack.models.generation_config import read_rules
    from inferstack.models.log_mel import read_log_mel
    from inferstack.models.speech_tokens import read_speech_tokens
    from inferstack.models.text_tokenizer import load_text_tokenizer
    from inferstack.models.two_stacks import load_two_stacks

    model = load_two_stacks(folder, hears=True)
    encoder, rows = model.description.encoder, model.description.vocabulary
    assert encoder.signal is not None, "asked for"
    rules = read_rules(folder, rows)
    if rules.start is None:
        need = "decoder_start_token_id, the id that the decoder begins with"
        raise CheckpointError(str(folder / "config.json"), "does not say how to begin", need=need)
    log_mel = read_log_mel(folder, encoder.signal.features, 2 * encoder.longest)
    listener = Listener(
        reader=Reader(model),
        tokenizer=load_text_tokenizer(folder, rows),
        rules=rules,
        tokens=read_speech_tokens(folder, rules.start, rows),
        log_mel=log_mel,
    )
    return Transcriber(model.name, listener)
