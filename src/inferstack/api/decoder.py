"""`Decoder`: a model that continues texts, ready to run in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from inferstack.api.choices import WRITTEN_TOKENS
from inferstack.api.writer import Writer
from inferstack.core.errors import InputError
from inferstack.core.progress import Progress, silent

if TYPE_CHECKING:
    from inferstack.api.perplexity import Perplexity
    from inferstack.generate.runner import Runner
    from inferstack.generate.text import Generation
    from inferstack.models.gguf_model import GgufModel
    from inferstack.models.text_tokenizer import TextTokenizer


class Decoder(Writer):
    """Text in, text out. runner: the model. tokenizer: text to ids and back."""

    __slots__ = ("name", "runner", "tokenizer")

    def __init__(self, name: str, runner: Runner, tokenizer: TextTokenizer) -> None:
        self.name, self.runner, self.tokenizer = name, runner, tokenizer

    def stream(
        self,
        prompt: str,
        *,
        max_tokens: int = WRITTEN_TOKENS,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        chat: bool = False,
        source_language: str | None = None,
        target_language: str | None = None,
    ) -> Generation:
        """See `Writer.stream`."""
        from inferstack.generate.sampling import Sampling
        from inferstack.generate.text import Generation

        if source_language is not None or target_language is not None:
            flag = "--target-language" if source_language is None else "--source-language"
            raise InputError(flag, f"{self.name} is a decoder, which continues a text")
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        ids = self.tokenizer.encode_chat(prompt) if chat else self.tokenizer.encode(prompt)
        return Generation(
            self.runner,
            self.tokenizer,
            ids,
            max_tokens=max_tokens,
            sampling=sampling,
            stop=tuple(stop) if isinstance(stop, list) else stop,
        )

    def perplexity(
        self,
        text: str | Path,
        *,
        window: int | None = None,
        stride: int | None = None,
        max_tokens: int | None = None,
        progress: Progress = silent,
    ) -> Perplexity:
        """Of a text, or of the file at a Path. window: tokens at once. stride: by how many windows
        move on; half a window by default. max_tokens: the first ones alone.

        Raises DataError for a file that cannot be read as text, InputError.
        """
        from inferstack.api.perplexity import Perplexity
        from inferstack.generate.perplexity import perplexity
        from inferstack.models.scenario import check_size

        if max_tokens is not None:
            check_size("--max-tokens", max_tokens)
        ids = self.tokenizer.encode(whole_text(text))[:max_tokens]
        found = perplexity(self.runner, ids, window=window, stride=stride, progress=progress)
        return Perplexity(model=self.name, **asdict(found))

    def __repr__(self) -> str:
        of = self.runner.description
        return f"<Decoder {self.name}: {of.depth} layers, {of.vocabulary:,} words>"


def loaded_decoder(
    place: Path | GgufModel, calibrate: str | Path | None = None, progress: Progress = silent
) -> Decoder:
    """The checkpoint in a folder or a GGUF file as it is, in float32; or in integers, with ranges
    from the text `calibrate`. Raises CheckpointError, DataError, InputError."""
    from inferstack.generate.runner import Runner
    from inferstack.models.decoder_checkpoint import load_decoder

    found = load_decoder(place)
    if calibrate is not None:
        from inferstack.generate.integers import integer_graph

        text = whole_text(calibrate)
        return Decoder(
            found.name,
            Runner(integer_graph(place, found, text, progress), found.description),
            found.tokenizer,
        )
    return Decoder(found.name, Runner(found.graph, found.description), found.tokenizer)


def whole_text(text: str | Path) -> str:
    """A text, or that of the file at a Path. Raises DataError."""
    from inferstack.models.data_files import LARGEST_TEXT_BYTES, text_of

    return text_of(text, LARGEST_TEXT_BYTES) if isinstance(text, Path) else text
