"""The searches of a model's operators, one after another or side by side."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from inferstack.core.errors import InputError
from inferstack.core.infeasible import Infeasible
from inferstack.hardware.load import load_accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.shapes import convolution, matmul
from inferstack.ops.rule import Affine
from inferstack.schedule import searcher as module
from inferstack.schedule.searcher import Searcher
from inferstack.schedule.store import OptimumStore

WANTED = (
    matmul(m=24, k=18, n=20),
    matmul(m=1, k=64, n=48),
    convolution(n=8, c=4, p=9, q=9, r=3, s=3, stride=2),
    matmul(m=24, k=18, n=20),
)
MACHINE = load_accelerator("simba")


def test_several_processes_find_what_one_finds(tmp_path: Path) -> None:
    alone = Searcher("edp")
    store = OptimumStore(tmp_path / "store.db")
    aside = Searcher("edp", workers=2, store=store)
    told = list[tuple[str, int, int]]()
    aside.look_ahead(WANTED, MACHINE, lambda *said: told.append(said))
    assert len(aside.known) == 3
    assert told == [("searching schedules", done, 3) for done in range(4)]
    for wanted in WANTED:
        assert aside(wanted, MACHINE) == alone(wanted, MACHINE)
    assert len(aside.known) == 3
    assert aside.unproven == 0
    # What they found is stored, too.
    later = Searcher("edp", store=store, budget_s=0.0)
    assert [later(wanted, MACHINE) for wanted in WANTED] == [alone(w, MACHINE) for w in WANTED]
    assert later.unproven == 0


def test_a_searching_process_leaves_interrupts_to_the_first() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        module._leave_interrupts()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_what_fails_in_another_process_fails_here() -> None:
    """Three dimensions share an index: such a search is refused."""
    plain = convolution(n=4, c=1, p=4, q=4, r=3, s=3)
    x = plain.operands[0]
    tangled = x.indices[2].terms + x.indices[3].terms
    whole = (*x.indices[:2], Affine(terms=tangled))
    operands = (type(x)(slot=x.slot, role=x.role, indices=whole, bits=8), *plain.operands[1:])
    refused = Contraction(
        name="tangled", dims=plain.dims, reductions=plain.reductions, operands=operands
    )
    searcher = Searcher("energy", workers=2)
    searcher.look_ahead([refused, *WANTED], MACHINE)
    assert len(searcher.known) == 3
    with pytest.raises(InputError, match="more than two overlapping dimensions"):
        searcher(refused, MACHINE)


def test_ctrl_c_ends_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(_: Iterable[object]) -> Iterator[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "as_completed", pressed)
    searcher = Searcher("energy", workers=2)
    searcher.look_ahead(WANTED, MACHINE)
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        # The pool's own thread may be the one that hears of their end.
        time.sleep(0.01)
    assert multiprocessing.active_children() == []
    assert searcher.budget_s == 0.0
    found = searcher(WANTED[2], MACHINE)
    assert not isinstance(found, Infeasible)
    assert found.cost.cycles > 0
