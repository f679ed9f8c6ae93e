"""Small integers in words of 32 bits, and what they stand for with scales and zero points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

WORD = 32
RUN = 2**20
"""Weights that are made at once."""


def unpacked(words: Array, bits: int, count: int) -> Array:
    """Numbers of so many bits, one behind the other in words of 32 bits along the first axis, the
    lowest bits first: (words, columns) int32 -> (count, columns) uint8."""
    import numpy as np

    words = words.view(np.uint32)
    # The pattern of bits repeats behind so many words.
    span = math.lcm(WORD, bits)
    step, each = span // WORD, span // bits
    found = np.zeros((len(words) // step * each, words.shape[1]), dtype=np.uint8)
    for place in range(each):
        word, shift = divmod(place * bits, WORD)
        some = words[word::step] >> np.uint32(shift)
        if shift + bits > WORD:
            some = some | (words[word + 1 :: step] << np.uint32(WORD - shift))
        found[place::each] = (some & np.uint32((1 << bits) - 1)).astype(np.uint8)
    return found[:count]


def unpacked_apart(words: Array, bits: int) -> Array:
    """`unpacked`, where no number stands in two words: all that the words have room for."""
    import numpy as np

    each, words = WORD // bits, np.ascontiguousarray(words).view(np.uint32)
    found = np.empty((len(words) * each, words.shape[1]), dtype=np.uint8)
    for place in range(each):
        found[place::each] = (words >> np.uint32(bits * place)) & np.uint32((1 << bits) - 1)
    return found


def grouped(values: Array, zeros: Array, scales: Array, groups: Array) -> Array:
    """(value - zero) * scale: values (inputs, outputs) of small integers; zeros and scales (groups,
    outputs); groups: of each input. -> float32."""
    import numpy as np

    found = np.empty(values.shape, dtype=np.float32)
    rows = max(RUN // max(values.shape[1], 1), 1)
    for begin in range(0, len(values), rows):
        own = groups[begin : begin + rows]
        some = values[begin : begin + rows].astype(np.float32)
        found[begin : begin + rows] = (some - zeros[own]) * scales[own]
    return found
