"""A wrong argument is one error of ours, whatever its type, never one of Python's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import inferstack as ist
from inferstack.api.arguments import sentence_list

BERT: Any = ist.load("bert-base")
GEMMINI: Any = ist.machine("gemmini")
ANY: Any = ist

WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "a number for a model": (lambda: ANY.load(3), "MODEL: is neither a name nor a path; got 3"),
    "no model": (lambda: ANY.load(None), "MODEL: is neither a name nor a path; got None"),
    "a length in text": (lambda: BERT.count("128"), "--seq-len: is no whole number; got '128'"),
    "half a token": (lambda: BERT.count(1.5), "--seq-len: is no whole number; got 1.5"),
    "true tokens": (lambda: BERT.count(True), "--seq-len: is no whole number; got True"),
    "one wrong length": (lambda: BERT.count([128, "a"]), "--seq-len: is no whole number"),
    "no length": (lambda: BERT.count([]), "--seq-len: is empty; need at least one length"),
    "a batch in text": (lambda: BERT.count(8, batch="2"), "--batch: is no whole number; got '2'"),
    "a phase": (lambda: BERT.count(8, phase="encod"), "unknown phase; got 'encod'"),
    "a grouping": (lambda: BERT.count(8, by="layer"), "--by: unknown grouping; got 'layer'"),
    "an element type": (lambda: BERT.count(8, dtype="int9"), "unknown element type; got 'int9'"),
    "no convention": (lambda: BERT.count(8, convention=None), "unknown convention; got 'None'"),
    "a number for a machine": (lambda: BERT.count(8, on=3), "is neither a name nor a path; got 3"),
    "a layer": (lambda: BERT.layer("layer0.qury", 8), "did you mean 'layer0.query'?"),
    "a list for a machine": (
        lambda: ANY.Machine.from_dict([]),
        "machine: is not a description; got []",
    ),
    "an empty machine": (
        lambda: ist.Machine.from_dict({}),
        "machine without a name, name: missing",
    ),
    "a key that is no text": (lambda: GEMMINI.with_({3: 3}), "machine gemmini, 3: unknown key"),
    "no value": (lambda: GEMMINI.with_({"array.rows": None}), "need a whole number"),
    "a place that is not there": (
        lambda: GEMMINI.save(Path("nowhere") / "machine.yaml"),
        "nowhere/machine.yaml: cannot be written: No such file",
    ),
    "two numbers to compare": (lambda: ANY.compare(1, 2), "need two of one kind"),
    "one sentence": (lambda: sentence_list("a dog"), "sentences: is one text; need a list"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_one_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, message = WRONG[name]
    with pytest.raises(ist.InferStackError) as caught:
        call()
    assert message in str(caught.value)
