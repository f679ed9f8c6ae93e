"""`TextToText`: an encoder-decoder that translates or summarizes, ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inferstack.api.choices import WRITTEN_TOKENS
from inferstack.api.writer import Writer
from inferstack.core.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from inferstack.generate.source import Reader
    from inferstack.generate.text import Generation
    from inferstack.models.generation_config import Rules
    from inferstack.models.text_tokenizer import TextTokenizer


class TextToText(Writer):
    """A text in, another one out. rules: what generation_config.json asks for."""

    __slots__ = ("name", "reader", "rules", "tokenizer")

    def __init__(self, name: str, reader: Reader, tokenizer: TextTokenizer, rules: Rules) -> None:
        self.name, self.reader, self.tokenizer, self.rules = name, reader, tokenizer, rules

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

        if chat:
            need = "a decoder with a chat template"
            raise InputError("--chat", f"{self.name} reads texts, no conversations", need=need)
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        ids, rules = self.tokenizer.encode(prompt), self.rules
        if source_language is not None:
            own = self.tokenizer.word("--source-language", source_language)
            ids = self.tokenizer.with_language("--source-language", ids, own, rules.begin)
        if target_language is not None:
            first = self.tokenizer.word("--target-language", target_language)
            rules = replace(rules, forced_first=first)
        assert rules.start is not None, "checked where it was loaded"
        return Generation(
            self.reader.read(ids),
            self.tokenizer,
            (rules.start,),
            max_tokens=max_tokens,
            sampling=sampling,
            stop=tuple(stop) if isinstance(stop, list) else stop,
            rules=rules,
        )

    def __repr__(self) -> str:
        of = self.reader.model.description
        layers = f"{of.encoder.depth} and {of.decoder.depth} layers"
        return f"<TextToText {self.name}: {layers}, {of.vocabulary:,} words>"


def loaded_text_to_text(folder: Path) -> TextToText:
    """The checkpoint as it is, in float32. Raises CheckpointError."""
    from inferstack.generate.source import Reader
    from inferstack.models.generation_config import read_rules
    from inferstack.models.text_tokenizer import load_text_tokenizer
    from inferstack.models.two_stacks import load_two_stacks

    model = load_two_stacks(folder, hears=False)
    rows = model.description.vocabulary
    rules = read_rules(folder, rows)
    if rules.start is None:
        need = "decoder_start_token_id, the id that the decoder begins with"
        raise CheckpointError(str(folder / "config.json"), "does not say how to begin", need=need)
    tokenizer = load_text_tokenizer(folder, rows)
    return TextToText(model.name, Reader(model), tokenizer, rules)
