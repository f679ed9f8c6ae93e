"""A decoder in integers: its step of decoding, with the ranges of a text that it reads whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from inferstack.compress.calibration import calibrate
from inferstack.compress.method import method
from inferstack.compress.perplexity import spread, windows_of
from inferstack.core.errors import DataError
from inferstack.core.progress import Progress, counted, silent
from inferstack.ir.graph import Graph
from inferstack.models.decoder import LOGITS
from inferstack.models.decoder_checkpoint import DecoderCheckpoint, load_decoder
from inferstack.models.gguf_model import GgufModel
from inferstack.models.scenario import Scenario

WINDOW_TOKENS, WINDOWS = 128, 32
"""The text is read in so many windows at most, spread over it."""


def integer_graph(
    place: Path | GgufModel, step: DecoderCheckpoint, text: str, progress: Progress = silent
) -> Graph:
    """The graph of `step`, one token behind another, by the method integer-only. Raises DataError
    for a text of less than two tokens."""
    ids = step.tokenizer.encode(text)
    tokens = min(WINDOW_TOKENS, step.description.longest, len(ids))
    if tokens < 2:
        raise DataError("--calibrate", "is too short", got=f"{len(ids)} tokens", need="at least 2")
    whole = load_decoder(place, Scenario.prefill(tokens)).graph
    windows = spread(windows_of(ids, tokens, "--calibrate"), WINDOWS)
    batches = [{whole.inputs[0]: window[None]} for window in windows]
    read = replace(whole, outputs=(LOGITS,))
    ranges = calibrate(read, batches, progress=counted(progress, "calibrating", len(batches)))
    return method("integer-only").apply(replace(step.graph, outputs=(LOGITS,)), ranges)
