"""Mapping files: what is saved is loaded; every mistake has its own message. And the store."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from inferstack.core.errors import InferStackError, InputError, MappingError
from inferstack.cost.cost import cost
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.load import load_accelerator
from inferstack.mapping.mapping_file import load_mapping, mapping_text, save_mapping
from inferstack.mapping.shapes import convolution, matmul
from inferstack.schedule import store as stores
from inferstack.schedule.nests.optimum import optimum
from inferstack.schedule.store import OptimumStore, stored_optimum

WANTED = matmul(m=64, n=48, k=32, name="proj")
TARGET = load_accelerator("peers-target")


def best() -> Scheduled:
    found = optimum(WANTED, TARGET, "edp", perfect=True)
    assert isinstance(found, Scheduled)
    return found


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    image = convolution(n=8, c=8, p=7, q=7, r=3, s=3, stride=2, padding=1, groups=2)
    for wanted in (WANTED, image):
        found = optimum(wanted, TARGET, "edp")
        assert isinstance(found, Scheduled)
        save_mapping(tmp_path / "m.yaml", found.mapping, wanted)
        mapping, contraction = load_mapping(tmp_path / "m.yaml")
        assert (mapping, contraction) == (found.mapping, wanted)
        assert cost(mapping, contraction, TARGET) == found.cost


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "nest:\n",
            "nest:\n- {loop: x, step: 4}\n",
            (
                "mapping of proj: unknown dimension; got 'x'\n\nhint: dimensions known: k, m, n"
            ),
        ),
        (
            "nest:\n",
            "nest:\n- {loop: m, step: 40}\n- {loop: m, step: 64}\n",
            (
                "mapping of proj: a loop over m does not divide what is left of it into chunks; "
                "got steps of 64, need 1 to 40"
            ),
        ),
        (
            "extent: 16, axis: row",
            "extent: 8, axis: row",
            (
                "mapping of proj: the factors do not cover the dimension k; got 16 elements at the "
                "innermost node, need 8\n\nhint: add a loop over k with a step of 8"
            ),
        ),
        (
            "extent: 16, axis: row",
            "extent: 17, axis: row",
            (
                "mapping of proj: the spatial extent along the row axis is over the array; "
                "got 17, need at most 16"
            ),
        ),
        (
            "extent: 16, axis: row",
            "extent: 16, axis: rows",
            (
                "mapping of proj: unknown axis name; got 'rows'\n\nhint: did you mean 'row'? "
                "axis names known: column, row"
            ),
        ),
        (
            "store: a, level: scratchpad",
            "store: a, level: accumulator",
            (
                "mapping of proj: the level accumulator does not hold the input; got a store of a, "
                "need one of dram, scratchpad"
            ),
        ),
        (
            "{loop:",
            "{lop:",
            "m.yaml, nest.N: not a node; got",
        ),
        ("step: 1}", "step: 0}", "m.yaml, nest.N.step: not a size; got 0, need a whole number"),
        ("step: 1}", "step: 1.5}", "m.yaml, nest.N.step: not a size; got 1.5, need a whole number"),
        ("level: scratchpad}", "lvl: scratchpad}", "m.yaml, nest.N: a store has other keys"),
        ("m: 64", "m: 0", "m.yaml, contraction.dims.m: out of range; got 0, need more than 0"),
        ("accelerator: peers-target\n", "", "m.yaml, accelerator: missing"),
        (
            "terms: {k: 1}",
            "terms: {}",
            "m.yaml, contraction, a: an axis of an operand follows no dimension",
        ),
        (
            "terms: {k: 1}",
            "terms: {k: -1}",
            "m.yaml, contraction, a, index 1: does not walk along k; got -1",
        ),
        (
            "terms: {k: 1}",
            "terms: {k: 999999999}",
            "m.yaml, contraction, a, index 1: reaches further than a tensor is long",
        ),
        (
            "reductions: [k]",
            "reductions: [n]",
            "m.yaml, contraction: the output does not follow the dimensions that are not summed",
        ),
        ("slot: b", "slot: a", "m.yaml, contraction: two operands share a slot; got a, a, out"),
        ("m: 64", "x: 1, m: 64", "m.yaml, contraction: unknown dimension; got 'x'"),
        (
            "operator: proj",
            'operator: "\\e[31m"',
            "m.yaml, operator: wrong kind of value; got '\\x1b[31m', need text that prints",
        ),
    ],
)  # fmt: skip
def test_the_message_of_each_mistake(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = mapping_text(best().mapping, WANTED)
    assert old in text
    path = tmp_path / "m.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InferStackError) as error:
        cost(*load_mapping(path), TARGET)
    assert error.value.exit_code == 2
    message = str(error.value).replace(str(path), "m.yaml")
    assert re.sub(r"nest\.\d+", "nest.N", message).startswith(expected)


FUSED = "fused:\n- {name: act, kind: gelu}\n"
WIDTH = "  fused_output_bits: 8\n"


@pytest.mark.parametrize(
    ("fused", "width", "expected"),
    [
        (FUSED, "", "m.yaml, contraction.fused_output_bits: missing"),
        ("", WIDTH, "m.yaml, fused: missing"),
        ("fused:\n- {name: sum, kind: add}\n", WIDTH, "m.yaml, fused.0: residual_bits"),
        ("fused:\n- {name: act, kind: gelu, residual_bits: 8}\n", WIDTH, "m.yaml, fused.0: resid"),
        (FUSED + "- {name: more, kind: gelu}\n", WIDTH, "m.yaml, fused.0: one operator ends"),
    ],
)
def test_what_follows_and_its_width_go_together(
    tmp_path: Path, fused: str, width: str, expected: str
) -> None:
    text = mapping_text(best().mapping, WANTED)
    assert "contraction:\n" in text
    path = tmp_path / "m.yaml"
    path.write_text(fused + text.replace("contraction:\n", f"contraction:\n{width}", 1))
    with pytest.raises(MappingError) as error:
        load_mapping(path)
    assert str(error.value).replace(str(path), "m.yaml").startswith(expected)


def test_a_store_makes_the_second_search_free(tmp_path: Path, monkeypatch: object) -> None:
    store = OptimumStore(tmp_path / "s" / "optima.sqlite")
    first = stored_optimum(WANTED, TARGET, "edp", store)
    assert isinstance(first, Scheduled)
    assert isinstance(monkeypatch, pytest.MonkeyPatch)
    monkeypatch.setattr(stores, "optimum", None)
    again = stored_optimum(matmul(m=64, n=48, k=32, name="other"), TARGET, "edp", store)
    assert isinstance(again, Scheduled)
    assert again.mapping.operator == "other"
    assert (again.mapping.nodes, again.cost) == (first.mapping.nodes, first.cost)
    assert again.proof == first.proof


@pytest.mark.parametrize("damage", ["entry", "mapping", "file", "empty"])
def test_what_is_damaged_is_made_again(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "optima.sqlite"
    store = OptimumStore(path)
    first = stored_optimum(WANTED, TARGET, "edp", store)
    assert isinstance(first, Scheduled)
    if damage in ("entry", "mapping"):
        connection = sqlite3.connect(path)
        change = "'{'" if damage == "entry" else "replace(content, 'scratchpad', 'accumulator')"
        connection.execute(f"UPDATE optima SET content = {change}")
        connection.commit()
        connection.close()
    else:
        header = path.read_bytes()[:100]
        for file in tmp_path.iterdir():
            file.unlink()
        path.write_bytes(b"" if damage == "empty" else header + b"torn " * 999)
    again = stored_optimum(WANTED, TARGET, "edp", store)
    assert isinstance(again, Scheduled)
    assert (again.mapping, again.cost) == (first.mapping, first.cost)
    content = OptimumStore(path).read(stores.key_of(WANTED, TARGET, "edp", False))
    assert content is not None
    assert '"nest"' in content


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "optima.sqlite"
    OptimumStore(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(InputError) as error:
        OptimumStore(path)
    assert str(error.value) == (
        f"{path}: the store was written by a newer version of inferstack; got format 2, need "
        "format 1 or older\n\nhint: update inferstack, or name another file"
    )


def test_another_machine_objective_or_space_is_another_entry() -> None:
    keys = {
        stores.key_of(WANTED, load_accelerator(name), objective, perfect)
        for name in ("peers-target", "gemmini", "simba")
        for objective in ("edp", "energy")
        for perfect in (False, True)
    }
    assert len(keys) == 12


WRITES_MANY = """
import sys
from pathlib import Path
from inferstack.schedule.store import OptimumStore

store = OptimumStore(Path(sys.argv[1]))
for number in range(50):
    store.write(f"{sys.argv[2]}{number}", "x" * 1000)
"""


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "optima.sqlite"
    workers = [
        subprocess.Popen([sys.executable, "-c", WRITES_MANY, str(path), name]) for name in "ab"
    ]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    store = OptimumStore(path)
    assert all(store.read(f"{name}{number}") for name in "ab" for number in range(50))


def test_a_file_of_the_users_is_no_store_and_stays_as_it_is(tmp_path: Path) -> None:
    text, other = tmp_path / "x.txt", tmp_path / "other.sqlite"
    text.write_text("a sentence of mine\n")
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE mine (a TEXT)")
    connection.commit()
    connection.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(InputError, match="is not a store of inferstack"):
            OptimumStore(path)
        assert path.read_bytes() == before


def test_a_store_that_cannot_be_written_loses_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: what was found is there, and a note says why it is not kept."""
    store = OptimumStore(tmp_path / "optima.sqlite")

    class Full:
        def __init__(self, path: Path) -> None:
            self.path = path

        def __enter__(self) -> sqlite3.Connection:
            raise sqlite3.OperationalError("database or disk is full")

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(stores, "_Connection", Full)
    store.write("a", "b")
    store.write("a", "b")
    assert store.notes == [
        f"the store {store.path} does not keep all that was found: database or disk is full"
    ]


def damaged_store(path: Path) -> bytes:
    """A store of ours whose pages are torn; its header is whole."""
    OptimumStore(path)
    torn = path.read_bytes()[:100] + b"x" * 500
    path.write_bytes(torn)
    return torn


def test_a_damaged_store_lies_aside_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "optima.sqlite"
    torn = damaged_store(path)
    store = OptimumStore(path)
    assert (tmp_path / "optima.sqlite.damaged1").read_bytes() == torn
    assert store.notes == [f"the store {path} was damaged: it lies in {path}.damaged1 now"]


def database(path: Path, *statements: str) -> bytes:
    """A database of somebody else."""
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    "statements",
    [
        ("PRAGMA application_id = 99", "PRAGMA user_version = 1"),
        ("PRAGMA user_version = 7",),
        ("CREATE TABLE photos (name TEXT)",),
        ("CREATE TABLE optima (name TEXT)",),
        ("CREATE TABLE optima (key TEXT, content TEXT)", "CREATE TABLE photos (name TEXT)"),
    ],
)
def test_a_database_of_somebody_else_is_neither_moved_nor_changed(
    tmp_path: Path, statements: tuple[str, ...]
) -> None:
    path = tmp_path / "photos.db"
    before = database(path, *statements)
    with pytest.raises(InputError, match="is not a store of inferstack"):
        OptimumStore(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["photos.db"]


def test_a_damaged_database_of_somebody_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    torn = b"SQLite format 3\x00" + b"u" * 5000
    zero = torn[:68] + bytes(4) + torn[72:]
    for content in (torn, zero):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is not a store of inferstack"):
            OptimumStore(path)
        assert path.read_bytes() == content
        assert [one.name for one in tmp_path.iterdir()] == ["photos.db"]


def test_a_store_of_before_there_was_an_id_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    database(
        path,
        "CREATE TABLE optima (key TEXT PRIMARY KEY, content TEXT NOT NULL)",
        "INSERT INTO optima VALUES ('a', 'b')",
        "PRAGMA user_version = 1",
    )
    assert OptimumStore(path).read("a") == "b"
    assert path.read_bytes()[68:72] == stores.APPLICATION_ID.to_bytes(4, "big")


def test_a_locked_store_ends_no_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PATIENCE_S", 0.01)
    store = OptimumStore(tmp_path / "optima.sqlite")
    store.write("a", "b")
    holder = sqlite3.connect(store.path)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    assert store.read("a") is None
    store.write("c", "d")
    holder.close()
    assert len(store.notes) == 2
    assert all("locked" in note for note in store.notes)
    assert store.read("a") == "b"


@pytest.mark.parametrize(
    ("dims", "offset", "size", "expected"),
    [
        ("p: 6, q: 6, c: 1, r: 3", -6, 6, "walks along; got 6, need at most 5"),
        ("p: 6, q: 6, c: 1, r: 3", 0, 2, "walks along; got 6, need at most 5"),
        ("p: 60001, q: 6, c: 1, r: 60001", -60000, 60001, "are counted; got 3,600,000,000, need"),
    ],
)
def test_a_file_has_no_more_padding_than_can_be_counted(
    tmp_path: Path, dims: str, offset: int, size: int, expected: str
) -> None:
    """The last one was counted position by position."""
    found = optimum(convolution(n=1, c=1, p=6, q=6, r=3, s=3, padding=1), TARGET, "edp")
    assert isinstance(found, Scheduled)
    text = mapping_text(found.mapping, found.contraction)
    path = tmp_path / "m.yaml"
    edits = {
        "p: 6, q: 6, c: 1, r: 3": dims,
        "      offset: -1\n      size: 6\n": f"      offset: {offset}\n      size: {size}\n",
    }
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    with pytest.raises(MappingError, match=f"m.yaml, contraction, x, index 2: .*{expected}"):
        load_mapping(path)
