"""YAML as plain data: YAML 1.2 numbers, and nothing that hides a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferstack.core.errors import AcceleratorError, MappingError
from inferstack.core.yaml import read_yaml


def _read(tmp_path: Path, text: str) -> object:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path, MappingError)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e9", 1e9),
        ("-1.5e-3", -1.5e-3),
        ("1_000", 1000),
        ("010", 10),
        ("12:30", "12:30"),
        ("on", "on"),
        ("no", "no"),
        ("true", True),
        ("~", None),
        ("'1'", "1"),
        ("2026-01-01", "2026-01-01"),
        ("[1, 2.5, x]", [1, 2.5, "x"]),
        ("a: {b: null}", {"a": {"b": None}}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("", None),
    ],
)
def test_scalars_follow_yaml_1_2(tmp_path: Path, text: str, value: object) -> None:
    read = _read(tmp_path, text)
    assert read == value
    assert type(read) is type(value)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert _read(tmp_path, "\ufeffa: 1") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "line 2: duplicate key 'a'"),
        ("a:\n  b: 1\n  b: 2", "line 3: duplicate key 'b'"),
        ("a: &x 1", "line 1: anchors and aliases"),
        ("a: *x", "line 1: anchors and aliases"),
        ("a: !!int '1'", "line 1: the tag 'tag:yaml.org,2002:int' is not accepted"),
        ("a: ! x", "line 1: the tag '!' is not accepted"),
        ("a: 1\n---\nb: 2", "line 2: not YAML: but found another document"),
        ("a: \x01", "not YAML: unacceptable character"),
        ("a: 'x", "not YAML: found unexpected end of stream"),
    ],
)
def test_what_hides_a_mistake_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        _read(tmp_path, text)
    assert message in str(caught.value)
    assert str(tmp_path / "file.yaml") in str(caught.value)


def test_the_error_is_the_caller_s(tmp_path: Path) -> None:
    with pytest.raises(AcceleratorError, match=r"none\.yaml: does not exist"):
        read_yaml(tmp_path / "none.yaml", AcceleratorError)
