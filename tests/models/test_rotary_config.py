"""rope_scaling whose values would divide by zero is one error with the key."""

from __future__ import annotations

from typing import Any

import pytest

from inferstack.core.errors import CheckpointError
from inferstack.models.config_file import ConfigFile
from inferstack.models.reading import read_rotary

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LONG = {"rope_type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [2.0, 2.0]}
YARN = {"rope_type": "yarn", "factor": 2.0}


@pytest.mark.parametrize(
    ("scaling", "over", "message"),
    [
        ({**YARN, "beta_fast": 0.0}, {}, "beta_fast makes no sense; got 0.0"),
        ({**YARN, "beta_slow": 0}, {}, "beta_slow makes no sense; got 0"),
        (YARN, {"rope_theta": 1.0}, "rope_theta makes no sense; got 1.0, need more than 1 for"),
        ({**LONG, "long_factor": [1.0, 0.0]}, {}, "long_factor makes no sense"),
        ({**LONG, "short_factor": [-1.0, 1.0]}, {}, "short_factor makes no sense"),
        (
            {**LONG, "original_max_position_embeddings": 1},
            {},
            "original_max_position_embeddings makes no sense; got 1, need at least 2",
        ),
        ({**LLAMA3, "low_freq_factor": 4.0}, {}, "high_freq_factor makes no sense; got 4"),
        ({"rope_type": "dynamic", "factor": 2.0}, {"head_dim": 2}, "needs more than one pair"),
    ],
)
def test_scalings_that_would_divide_by_zero_are_refused(
    scaling: dict[str, Any], over: dict[str, Any], message: str
) -> None:
    content = {"max_position_embeddings": 64, "rope_theta": 1e4, "rope_scaling": scaling, **over}
    with pytest.raises(CheckpointError, match=message):
        read_rotary(ConfigFile("c", content), content.get("head_dim", 4))


def test_the_least_that_is_taken_has_finite_angles() -> None:
    for scaling in (YARN, LONG, LLAMA3, {"rope_type": "dynamic", "factor": 2.0}):
        own = {**scaling, "original_max_position_embeddings": 2}
        content = {"max_position_embeddings": 64, "rope_theta": 1e4, "rope_scaling": own}
        rotary = read_rotary(ConfigFile("c", content), 4)
        assert all(0 < one < 2 for one in rotary.frequencies(64))
        assert 0 < rotary.amplitude < 9
