"""What decoders share: their phases, and the caches of keys and values.

Inputs: ids (batch, new tokens) int64 and, behind earlier tokens, for each layer its key_cache and
value_cache (batch, context, kv_heads * width). Outputs: the last hidden state (batch, new, d), the
logits (batch, new, vocabulary) of every new token, then for each layer the keys and the values of
all tokens so far, which are the caches of the next pass (`caches_of`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferstack.core.errors import InputError
from inferstack.ir.graph import Graph
from inferstack.models.scenario import Phase, Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

PHASES = (Phase.PREFILL, Phase.DECODE)
FINAL_NORM = "final_norm"
LOGITS = "logits"
CROSS = ".cross_"
"""In the names of keys and values of what an encoder made."""


def caches_of(graph: Graph, results: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The caches to feed to the next pass, out of the results of a pass of `graph`. Those of what
    an encoder made come out of the prompt's pass alone, and stay."""
    _, _, *remembered = graph.outputs
    crossed = [name for name in remembered if CROSS in name]
    own = [name for name in remembered if CROSS not in name]
    found = {
        f"layer{index // 2}.{'value' if index % 2 else 'key'}_cache": results[name]
        for index, name in enumerate(own)
    }
    return found | {f"{name}_cache": results[name] for name in crossed}


def check_scenario(
    name: str, scenario: Scenario, longest_sequence: int, *, beyond_positions: bool
) -> None:
    """Raises InputError for what a decoder cannot do."""
    if scenario.phase not in PHASES:
        raise InputError(
            f"model {name}",
            "a decoder does not encode",
            got=f"the phase {scenario.phase}",
            need="the phase prefill or decode",
        )
    if scenario.attended_tokens > longest_sequence and not beyond_positions:
        raise InputError(
            f"model {name}",
            "the sequence is longer than the model's positions",
            got=f"{scenario.attended_tokens:,} tokens, cached ones included",
            need=f"at most {longest_sequence:,}",
        )
