"""Machines in Python: as strict as their files, and written as such."""

from __future__ import annotations

from pathlib import Path

import pytest

import inferstack as ist
from inferstack.core.errors import AcceleratorError, UnknownNameError


@pytest.mark.parametrize("name", ist.machine_names())
def test_what_is_saved_is_the_machine(name: str, tmp_path: Path) -> None:
    machine = ist.machine(name)
    again = ist.machine(machine.save(tmp_path / "machine.yaml"))
    assert again.accelerator == machine.accelerator
    assert ist.Machine.from_dict(machine.to_dict()).accelerator == machine.accelerator


def test_a_change_has_a_source_and_leaves_the_first_alone() -> None:
    first = ist.machine("gemmini")
    before = first.to_dict()
    changes = {"array.rows": 32, "levels.scratchpad.capacity_bytes": "512 KiB"}
    second = first.with_(changes, name="gemmini-32", source="what if")
    assert (second.name, second.accelerator.array.rows) == ("gemmini-32", 32)
    assert second.accelerator.level("scratchpad").capacity_bytes == 512 * 1024
    source = second.accelerator.sources["array.rows"]
    assert (source.claim, source.text) == ("assumed", "what if")
    assert first.to_dict() == before
    assert first.accelerator.array.rows == 16


def test_a_later_change_leaves_the_source_of_an_earlier_one() -> None:
    first = ist.machine("gemmini").with_({"array.rows": 32}, source="one")
    second = first.with_({"array.columns": 32}, source="two")
    sources = second.accelerator.sources
    assert (sources["array.rows"].text, sources["array.columns"].text) == ("one", "two")


def test_a_description_may_extend_the_library() -> None:
    machine = ist.Machine.from_dict(
        {"extends": "gemmini", "name": "slow", "clock_hz": [1e8, "clock"]}
    )
    assert machine.accelerator.clock_hz == 1e8
    assert machine.accelerator.array == ist.machine("gemmini").accelerator.array


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arry.rows": 32}, "machine gemmini, arry.rows: unknown key; got 'arry'"),
        ({"array.rowz": 32}, "array.rowz: unknown key\n\nhint: did you mean 'rows'?"),
        ({"array.rows": 0}, "array.rows: out of range; got 0, need more than 0"),
        ({"array.rows": 1.5}, "array.rows: wrong kind of value"),
        ({"array": 3}, "array: is another kind of entry; need a mapping"),
        ({"levels.scratchpad.capacity_bytes": "much"}, "capacity_bytes: not a capacity"),
    ],
)
def test_a_wrong_change_is_one_error(changes: dict[str, object], message: str) -> None:
    with pytest.raises((AcceleratorError, UnknownNameError)) as caught:
        ist.machine("gemmini").with_(changes)
    assert message in str(caught.value)


def test_a_machine_prints_its_memories() -> None:
    shown = str(ist.machine("gemmini"))
    assert "scratchpad     256 KiB" in shown
    assert "array: 16 x 16, weight stationary" in shown
    assert [row["level"] for row in ist.machine("gemmini").records()] == [
        "dram",
        "scratchpad",
        "accumulator",
    ]
