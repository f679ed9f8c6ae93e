"""What hides keys from queries, found out by trying: a mask is computed for several inputs and
compared with what our softmax can say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

HIDDEN = -5000.0
"""What is added to a score that must not count is lower; what counts is higher."""
TRIES = 4
"""Random masks that a mask is tried with, beside the one that hides nothing."""

Evaluate = Callable[[Mapping[str, "Array"]], "Array"]
"""What is added to scores (batch, heads, tokens, context), minus infinity where hidden."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskForm:
    """mask: the input that hides keys. window: 0 for none. bias: numbers that are added to scores
    that count, (heads or 1, tokens, context); None without any. behind: it was found so for masks
    that hide keys behind all others alone."""

    mask: str | None
    causal: bool
    window: int
    bias: Array | None
    behind: bool = False


def mask_form(
    evaluate: Evaluate, masks: tuple[str, ...], batch: int, tokens: int, context: int
) -> MaskForm | None:
    """The form of a mask; None where our softmax cannot say it.

    masks: the inputs (batch, context) that it depends on.
    """
    import numpy as np

    everything = {name: np.ones((batch, context), dtype=np.int64) for name in masks}
    first = evaluate(everything)
    if len(masks) > 1 or np.isnan(first).any():
        return None
    seen = first > HIDDEN
    pattern = seen[0, 0]
    if not (seen == pattern).all():
        return None
    window_form = _window(pattern)
    if window_form is None:
        return None
    causal, window = window_form
    values = np.where(seen, first, 0.0)
    if not (values == values[:1]).all():
        return None
    mask, behind = None, False
    if masks:
        found = _hides(evaluate, masks[0], first, seen, behind=False)
        if found is None:
            behind = True
            found = _hides(evaluate, masks[0], first, seen, behind=True)
        if found is None:
            return None
        mask = masks[0] if found else None
    some = np.abs(values[0]).max() > 1e-6
    bias = None
    if some:
        bias = values[0]
        if (bias == bias[:1]).all():
            bias = bias[:1]
    return MaskForm(mask=mask, causal=causal, window=window, bias=bias, behind=behind)


def _hides(
    evaluate: Evaluate, name: str, first: Array, seen: Array, *, behind: bool
) -> bool | None:
    """Whether exactly the keys that the mask names are hidden; None where it is something else.

    behind: tried with masks that hide keys behind all others.
    """
    import numpy as np

    batch, context = first.shape[0], first.shape[3]
    generator = np.random.default_rng(0)
    answers = set()
    for number in range(TRIES):
        given = generator.integers(0, 2, (batch, context))
        # In half of them the beginning counts, so that causal rows see something.
        given[:, 0] |= number % 2
        if behind:
            given = -np.sort(-given, axis=1)
        made = evaluate({name: given})
        shown = made > HIDDEN
        wanted = seen & (given != 0)[:, None, None, :]
        rows = wanted.any(axis=-1)
        if given.all():
            continue
        if (shown == wanted)[rows].all():
            answers.add(True)
        elif (shown == seen)[rows].all():
            answers.add(False)
        else:
            return None
        both = shown & seen
        if not np.allclose(made[both], first[both], atol=1e-5):
            return None
    if len(answers) > 1:
        return None
    return answers.pop() if answers else context > 1


def _window(pattern: Array) -> tuple[bool, int] | None:
    """(causal, window) of what each query sees; None for another pattern."""
    import numpy as np

    tokens, context = pattern.shape
    if pattern.all():
        return False, 0
    ahead = np.arange(context)[None, :] - np.arange(tokens)[:, None] - (context - tokens)
    if (pattern == (ahead <= 0)).all():
        return True, 0
    window = int(pattern[-1].sum())
    if (pattern == ((ahead <= 0) & (-ahead < window))).all():
        return True, window
    reach = int(ahead[pattern].max(initial=0)) + 1
    if (pattern == (np.abs(ahead) < reach)).all():
        return False, reach
    return None
