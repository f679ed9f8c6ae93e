"""`Runner`: a decoder prepared once, and `Sequence`: one text that it reads or writes.

Equal to `ops.execute` on the graph of each pass, but no graph is made for a token: the steps of one
graph run at every position, and keys and values are written into caches that are there already.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstack.core.errors import InputError
from inferstack.generate import steps
from inferstack.generate.steps import Frequencies, Now, Step, Values
from inferstack.ir.graph import Graph, Operator, TensorRole
from inferstack.models.blocks import HEAD
from inferstack.models.decoder import CROSS, LOGITS
from inferstack.models.description import Description
from inferstack.models.scenario import Scenario

Array = npt.NDArray[Any]

TEMPLATE = Scenario.decode(1)
"""The pass whose graph a Runner takes."""
CHUNK_TOKENS = 256
"""Of a prompt at once: their scores are kept, heads * tokens * context."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """A step. output: its name. dropped: what nobody reads after it. narrowed: the input of which
    the head needs the last token alone."""

    step: Step
    output: str
    dropped: tuple[str, ...]
    narrowed: str | None = None


class Runner:
    """A decoder ready to run. graph: of `TEMPLATE`, with weights; it is not kept."""

    def __init__(self, graph: Graph, description: Description) -> None:
        self.description = description
        self._constants: Values = {
            name: tensor.data for name, tensor in graph.tensors.items() if tensor.data is not None
        }
        self._caches = {
            name: (tensor.shape[2], tensor.dtype.numpy())
            for name, tensor in graph.tensors.items()
            if tensor.role is TensorRole.CACHE and CROSS not in name
        }
        self._logits = LOGITS if LOGITS in graph.outputs else graph.outputs[-1]
        self._plan = self._planned(graph)
        in_steps = {
            operator.inputs["b"] for operator in graph.operators if operator.kind == "matmul"
        }
        read = {n for o in graph.operators if o.kind != "matmul" for n in o.inputs.values()}
        for name in in_steps - read:
            del self._constants[name]

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights that a token reads: of experts the active ones, of the embedding tables
        nothing."""
        return self._weight_bytes

    @property
    def read_tokens(self) -> int:
        """None: a decoder by itself has no encoder in front."""
        return 0

    @property
    def read_ids(self) -> tuple[int, ...]:
        """None, likewise."""
        return ()

    def start(self, capacity: int, given: Values | None = None) -> Sequence:
        """A new text of at most `capacity` tokens. given: what an encoder made, by name. Raises
        InputError beyond the positions."""
        longest = self.description.longest
        if capacity > longest:
            raise InputError(
                "generation", "the text is longer than the model's positions",
                got=f"{capacity:,} tokens, prompt included", need=f"at most {longest:,}",
            )  # fmt: skip
        caches = {
            name: np.zeros((1, capacity, width), dtype=dtype)
            for name, (width, dtype) in self._caches.items()
        }
        return Sequence(self, capacity, caches, given or {})

    def run(self, ids: Array, now: Now, *, every: bool) -> Array:
        """The logits (tokens, vocabulary) of a pass over ids (1, tokens); of the last token
        alone without `every`. Raises InputError where they are not finite."""
        values: Values = {**self._constants, **now.given, "ids": ids}
        # What overflows is found in the logits.
        with np.errstate(over="ignore", invalid="ignore"):
            for planned in self._plan:
                if planned.narrowed is not None and not every:
                    values[planned.narrowed] = values[planned.narrowed][:, -1:]
                values[planned.output] = planned.step(values, now)
                for name in planned.dropped:
                    values.pop(name, None)
        logits: Array = values[self._logits][0]
        if not np.isfinite(logits).all():
            hint = "the weights are too large for float32"
            raise InputError("generation", "the logits are not finite", hint=hint)
        return logits

    def _planned(self, graph: Graph) -> list[_Planned]:
        """The steps up to the logits."""
        context = TEMPLATE.context_tokens
        made: list[tuple[Step, Operator, tuple[str, ...]]] = []
        operators, index = graph.operators, 0
        self._weight_bytes = 0
        while index < len(operators):
            operator = operators[index]
            chain = (
                steps.attention_chain(graph, index) if operator.kind == "attention_scores" else ()
            )
            taken = tuple(chain) or (operator,)
            read = tuple(name for one in taken for name in one.inputs.values())
            step = (
                steps.attention_step(graph, chain, self._constants, context)
                if chain
                else self._step(graph, operator, context)
            )
            made.append((step, taken[-1], read))
            index += len(taken)
            if operator.kind not in ("embedding", "position_embedding"):
                self._weight_bytes += sum(_bytes_read(one, self._constants) for one in taken)
        last = {name: at for at, (_, _, read) in enumerate(made) for name in read}
        heads = {operator.output for operator in operators if operator.part == HEAD}
        return [
            _Planned(
                step,
                operator.output,
                tuple(n for n in set(read) if last[n] == at and n not in self._constants),
                _narrowed(operator, heads, self._constants),
            )
            for at, (step, operator, read) in enumerate(made)
        ]

    def _step(self, graph: Graph, operator: Operator, context: int) -> Step:
        made: Step | None = None
        integers = graph.result(operator).dtype.is_integer
        if operator.kind == "matmul" and integers:
            made = steps.integer_matmul_step(operator, self._constants)
        elif operator.kind == "matmul" and operator.inputs["b"] in self._constants:
            made = steps.matmul_step(operator, self._constants)
        elif operator.kind == "rmsnorm" and not integers:
            made = steps.rms_norm_step(operator, self._constants)
        elif operator.kind == "append_cache":
            made = steps.append_step(operator)
        elif operator.kind == "rotary":
            made = steps.rotary_step(operator, self._frequencies(operator))
        return made or steps.reference_step(graph, operator, context)

    def _frequencies(self, operator: Operator) -> Frequencies | None:
        """Those of the operator, or of its layer's description where they follow the length."""
        said = operator.attributes.get("frequencies")
        if said is None:
            return None
        number = int(operator.name.partition(".")[0].removeprefix("layer"))
        rotary = self.description.layers[number].attention.rotary
        if rotary is not None and rotary.follows_length:
            return rotary.frequencies
        fixed: Any = said
        return lambda tokens: fixed


def _bytes_read(operator: Operator, constants: Values) -> int:
    """Of its weights, for one token."""
    active: Any = operator.attributes.get("active", 1)
    total = 0
    for name in set(operator.inputs.values()) & constants.keys():
        weight = constants[name]
        by_expert = operator.kind == "expert_matmul"
        total += weight.nbytes * int(active) // len(weight) if by_expert else weight.nbytes
    return total


def _narrowed(operator: Operator, heads: set[str], constants: Values) -> str | None:
    """The input through which the head begins at this operator, if it does."""
    if operator.part != HEAD:
        return None
    begins = (n for n in operator.inputs.values() if n not in heads and n not in constants)
    return next(begins, None)


class Sequence:
    """A text so far: `feed` reads on. caches: (1, capacity, width) by name. given: what all tokens
    read, by name.

    reach: tokens that the text is taken to have, of which some rotary angles depend; those fed, or
    more where it is said that more of the same pass follow.
    """

    def __init__(self, runner: Runner, capacity: int, caches: Values, given: Values) -> None:
        self.runner, self.capacity, self.caches, self.given = runner, capacity, caches, given
        self.tokens = self.reach = 0

    def feed(self, ids: Several[int] | Array, *, every: bool = False) -> Array:
        """The logits (tokens, vocabulary) behind each of these ids, or behind the last alone.

        Raises InputError without ids, for one that the table lacks, and beyond the capacity.
        """
        array = np.asarray(ids, dtype=np.int64)
        rows = self.runner.description.vocabulary
        if array.ndim != 1 or not array.size:
            raise InputError("generation", "there are no tokens", need="at least 1")
        if array.min() < 0 or array.max() >= rows:
            raise InputError("generation", "an id stands in no table", need=f"ids under {rows:,}")
        if self.tokens + array.size > self.capacity:
            got, need = f"{self.tokens + array.size:,} tokens", f"at most {self.capacity:,}"
            raise InputError("generation", "the text is longer than its cache", got=got, need=need)
        self.reach = max(self.reach, self.tokens + array.size)
        found = []
        for first in range(0, array.size, CHUNK_TOKENS):
            part = array[None, first : first + CHUNK_TOKENS]
            now = Now(self.tokens, part.shape[1], self.reach, self.caches, self.given)
            found.append(self.runner.run(part, now, every=every))
            self.tokens += part.shape[1]
        return np.concatenate(found) if every else found[-1]
