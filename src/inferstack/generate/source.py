"""`Reader`: an encoder-decoder ready to run; `Source`: what its encoder made, read once.

Keys and values of the cross-attention are made with the source and serve every token.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstack.core.errors import InputError
from inferstack.generate.runner import TEMPLATE, Runner, Sequence
from inferstack.generate.steps import Values
from inferstack.models.description import Description
from inferstack.models.scenario import Phase, Scenario
from inferstack.models.two_stacks import TwoStacks
from inferstack.ops.execute import evaluate, execute

Array = npt.NDArray[Any]


class Source:
    """What a decoder reads; `start` begins a text about it."""

    def __init__(
        self, runner: Runner, given: Values, tokens: int, read_ids: tuple[int, ...] = ()
    ) -> None:
        self._runner, self._given = runner, given
        self.read_tokens, self.read_ids = tokens, read_ids

    @property
    def description(self) -> Description:
        """Of the decoder."""
        return self._runner.description

    def start(self, capacity: int) -> Sequence:
        """See `Runner.start`."""
        return self._runner.start(capacity, self._given)


class Reader:
    """Encodes sources; the decoder is prepared once."""

    def __init__(self, model: TwoStacks) -> None:
        self.model = model
        self.runner = Runner(model.graph(TEMPLATE), model.description.decoder)

    def read(self, ids: Several[int]) -> Source:
        """A text. Raises InputError where it has no tokens, or more than the positions."""
        longest = self.model.description.encoder.longest
        if not 1 <= len(ids) <= longest:
            need = f"1 to {longest:,} tokens"
            raise InputError("--prompt", "cannot be read at once", got=f"{len(ids):,}", need=need)
        array = np.asarray(ids, dtype=np.int64)[None]
        return self._made({"ids": array, "mask": np.ones_like(array)}, len(ids), tuple(ids))

    def hear(self, signal: Array) -> Source:
        """A spectrogram (features, times), two times a token."""
        return self._made({"signal": signal[None, :, None]}, signal.shape[1] // 2)

    def _made(self, feeds: Values, tokens: int, ids: tuple[int, ...] = ()) -> Source:
        encoder = self.model.graph(Scenario.encode(tokens))
        with np.errstate(over="ignore", invalid="ignore"):
            (source,) = execute(encoder, feeds).values()
        if not np.isfinite(source).all():
            hint = "the weights are too large for float32"
            raise InputError("generation", "the encoder's states are not finite", hint=hint)
        prompt = self.model.graph(
            Scenario(phase=Phase.PREFILL, batch=1, new_tokens=1, source_tokens=tokens)
        )
        given: Values = {"source_mask": np.ones((1, tokens), dtype=np.int64)}
        for operator in prompt.operators:
            if operator.inputs.get("a") != "source":
                continue
            inputs: Values = {"a": source}
            for slot, name in operator.inputs.items():
                data = prompt.tensors[name].data
                if data is not None:
                    inputs[slot] = data
            given[f"{operator.output}_cache"] = evaluate(prompt, operator, inputs)
        return Source(self.runner, given, tokens, ids)
