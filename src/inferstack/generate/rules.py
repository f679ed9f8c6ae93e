"""The rules of generation_config.json on the scores of the next token.

Source: transformers, generation/logits_process.py, and the order of generation/utils.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstack.core.errors import InputError
from inferstack.models.generation_config import Rules

Array = npt.NDArray[Any]


def ruled(
    rules: Rules,
    logits: Array,
    given: Sequence[int],
    written: Sequence[int],
    *,
    most: int,
    end_ids: frozenset[int],
    read: Sequence[int] = (),
) -> Array:
    """The logits (vocabulary,) with what the rules forbid at minus infinity.

    given: what the decoder began with. most: ids that it may write. read: those of an encoder.
    Raises InputError where nothing is left.
    """
    forced = None
    if len(given) == 1 and not written:
        forced = rules.forced_first
    if forced is None and len(written) == most - 1:
        forced = rules.forced_last
    if forced is not None:
        alone = np.full_like(logits, -np.inf)
        alone[forced] = 0
        return alone
    ids = (*given, *written)
    result = logits.copy()
    if rules.penalty != 1:
        seen = np.unique(ids)
        scores = result[seen]
        result[seen] = np.where(scores < 0, scores * rules.penalty, scores / rules.penalty)
    for token in {*_forbidden(rules, ids, written, end_ids, read)}:
        if token < len(result):
            result[token] = -np.inf
    # The first token of its own choice.
    first = int(rules.forced_first is not None and len(given) == 1)
    for token in rules.suppressed_first if len(written) == first else ():
        if token < len(result):
            result[token] = -np.inf
    if result.max() == -np.inf:
        raise InputError("generation_config.json", "its rules leave no token to write")
    return result


def _forbidden(
    rules: Rules,
    ids: Sequence[int],
    written: Sequence[int],
    end_ids: frozenset[int],
    read: Sequence[int],
) -> Iterator[int]:
    yield from rules.suppressed
    if len(ids) < rules.shortest or len(written) < rules.shortest_new:
        yield from end_ids
    for word in rules.bad_words:
        before = len(word) - 1
        if before <= len(ids) and tuple(ids[len(ids) - before :]) == word[:-1]:
            yield word[-1]
    for size, place in ((rules.no_repeat, ids), (rules.no_repeat_read, read)):
        before = size - 1
        if not 0 <= before <= len(ids):
            continue
        last = tuple(ids[len(ids) - before :])
        for at in range(len(place) - before):
            if tuple(place[at : at + before]) == last:
                yield place[at + before]
