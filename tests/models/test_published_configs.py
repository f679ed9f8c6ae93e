"""config.json files as their authors published them, keys of all ages included, are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import inferstack as ist

CONFIGS: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("published_configs.json").read_text(encoding="utf-8")
)
WEIGHT_BYTES = {
    # As long as the published files: 13.76 GB, 16.06 GB, 2.47 GB.
    "gpt-oss-20b": 13_761_000_000,
    "llama-3.1-8b": 16_060_522_496,
    "llama-3.2-1b": 2_471_628_800,
    # Of as many parameters as published.
    "clip-vit-base-patch32": 4 * 151_277_313,
    "granite-3.1-1b-a400m": 2 * 1_334_628_352,
    "phi-4-mini": 2 * 3_836_021_760,
    "sdxl-text-encoder-2": 2 * 694_659_840,
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_published_config_is_read(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIGS[name]), encoding="utf-8")
    counts = ist.load(folder).count(64)
    assert counts.flops > 0
    if name in WEIGHT_BYTES:
        assert counts.weight_bytes == pytest.approx(WEIGHT_BYTES[name], rel=1e-4)
