"""A store on disk of proven optima: equal operators and earlier runs cost nothing.

One SQLite file. The key is everything that the result depends on: the contraction's signature, the
machine's figures, the objective, the space, and the version of the cost model. What is read is
checked by costing it again; an entry or a file that is damaged is made anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sqlite3
from pathlib import Path
from typing import Any

from inferstack.core.errors import InputError
from inferstack.core.files import move_aside
from inferstack.core.infeasible import Infeasible
from inferstack.cost.cost import cost
from inferstack.cost.scheduled import Certificate, Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.mapping_file import node_content, node_of
from inferstack.mapping.nest import Mapping
from inferstack.schedule.nests.optimum import optimum

FORMAT = 1
"""Of the file; a file of a later one is refused."""
MODEL = 4
"""Of costs and of the space: entries of another one are never found."""
PATIENCE_S = 30.0
APPLICATION_ID = 0x49465331
"""In the header of a store, where it can be read of a damaged one too: "IFS1"."""
_SQLITE = b"SQLite format 3\0"
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
_HEADER_BYTES = 100
_ID_AT = slice(68, 72)
"""Where SQLite's header has the id of the application. Source: sqlite.org/fileformat2."""


class OptimumStore:
    """Proven optima in a file that several processes may use at once.

    notes: what went wrong with it on the way, for the user to read; no search is lost by it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise InputError(
                f"--store {path}", "its folder cannot be made", got=failure.strerror
            ) from None
        self._open()

    def _open(self) -> None:
        try:
            seen = self.path.stat() if self.path.exists() else None
            try:
                self._prepare()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                aside = None if seen is None else move_aside(self.path, seen, ("", "-wal", "-shm"))
                if aside is not None:
                    self.notes.append(f"the store {self.path} was damaged: it lies in {aside} now")
                self._prepare()
        except (sqlite3.Error, OSError) as failure:
            raise InputError(
                f"--store {self.path}", "the store cannot be used", got=str(failure),
                hint="wait until it is free, or name a file that you may write",
            ) from None  # fmt: skip

    def _prepare(self) -> None:
        self._refuse_foreign()
        with self._connected() as connection:
            # Before the log begins: the file itself says at once whose it is.
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > FORMAT:
                raise InputError(
                    str(self.path),
                    "the store was written by a newer version of inferstack",
                    got=f"format {version}",
                    need=f"format {FORMAT} or older",
                    hint="update inferstack, or name another file",
                )
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS optima (key TEXT PRIMARY KEY, content TEXT NOT NULL)"
            )
            connection.execute(f"PRAGMA user_version = {FORMAT}")

    def _refuse_foreign(self) -> None:
        """Raises InputError where the file is another's: it is neither changed nor deleted."""
        where, hint = f"--store {self.path}", "name a new file; this one is left as it is"
        if self.path.exists() and not self.path.is_file():
            raise InputError(where, "is not a file", hint=hint)
        if not self.path.exists() or not self.path.stat().st_size:
            return
        if not self._is_ours():
            raise InputError(
                where, "is not a store of inferstack", need="a store, or no file", hint=hint
            )

    def _is_ours(self) -> bool:
        """By the header; a sound file of before there was an id, by its only table."""
        with self.path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        if not header.startswith(_SQLITE):
            return False
        identity = int.from_bytes(header[_ID_AT], "big")
        if identity:
            return identity == APPLICATION_ID
        try:
            with self._connected() as connection:
                tables = [row[0] for row in connection.execute(_TABLES)]
                columns = [row[1] for row in connection.execute("PRAGMA table_info(optima)")]
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return False
        return tables == ["optima"] and columns == ["key", "content"]

    def _connected(self) -> _Connection:
        return _Connection(self.path)

    def read(self, key: str) -> str | None:
        """What was stored under a key; None where there is nothing, or nothing readable."""
        try:
            with self._connected() as connection:
                row = connection.execute(
                    "SELECT content FROM optima WHERE key = ?", (key,)
                ).fetchone()
        except sqlite3.DatabaseError:
            try:
                # It was damaged or emptied meanwhile; a lock that stays is a note.
                self._open()
            except InputError as failure:
                self._note(str(failure).splitlines()[0])
            return None
        return str(row[0]) if row else None

    def write(self, key: str, content: str) -> None:
        """Stores, in one transaction; the last of two that write at once stays.

        What cannot be stored (a full disk, a lock that stays) is a note: the result goes on.
        """
        try:
            with self._connected() as connection:
                connection.execute("INSERT OR REPLACE INTO optima VALUES (?, ?)", (key, content))
        except sqlite3.DatabaseError as failure:
            self._note(f"the store {self.path} does not keep all that was found: {failure}")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class _Connection:
    """Opens, commits and closes: a connection left open would hold the file's log."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> sqlite3.Connection:
        self.connection = sqlite3.connect(self.path, timeout=PATIENCE_S)
        return self.connection

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.connection.commit()
        self.connection.close()


def key_of(
    contraction: Contraction, accelerator: Accelerator, objective: str, perfect: bool
) -> str:
    """Of everything that the optimum depends on; names and sources do not count."""
    machine = dataclasses.replace(accelerator, name="", description="", sources={})
    figures = [
        repr(contraction.dims),
        sorted(contraction.reductions),
        repr(contraction.operands),
        contraction.bias_bits,
        repr(contraction.epilogue),
        [repr(dataclasses.replace(v, holds=frozenset())) for v in machine.levels],
        [sorted(role.value for role in v.holds) for v in machine.levels],
        repr(machine.array),
        repr(machine.fan_outs),
        machine.control.value,
        machine.has_dma,
        objective,
        perfect,
        MODEL,
    ]
    return hashlib.sha256(json.dumps(figures).encode()).hexdigest()


def stored_optimum(
    contraction: Contraction,
    accelerator: Accelerator,
    objective: str,
    store: OptimumStore,
    *,
    perfect: bool = False,
    budget_s: float = math.inf,
) -> Scheduled | Infeasible:
    """`optimum`, from the store where it is there. Only what is proven is stored."""
    key = key_of(contraction, accelerator, objective, perfect)
    content = store.read(key)
    known = None if content is None else _known(content, contraction, accelerator, objective)
    if known is not None:
        return known
    found = optimum(contraction, accelerator, objective, perfect=perfect, budget_s=budget_s)
    if isinstance(found, Scheduled) and found.proof.optimal:
        store.write(key, _content(found, objective))
    return found


def _content(found: Scheduled, objective: str) -> str:
    return json.dumps(
        {
            "nest": [node_content(node) for node in found.mapping.nodes],
            "proof": dataclasses.asdict(found.proof),
            "value": found.cost.value(objective),
        }
    )


def _known(
    content: str, contraction: Contraction, accelerator: Accelerator, objective: str
) -> Scheduled | None:
    """What an entry says; None where it does not say what its own mapping costs."""
    try:
        entry: dict[str, Any] = json.loads(content)
        mapping = Mapping(
            operator=contraction.name,
            accelerator=accelerator.name,
            nodes=tuple(node_of(node) for node in entry["nest"]),
        )
        proof = Certificate(**entry["proof"])
        figures = cost(mapping, contraction, accelerator)
        if not math.isclose(figures.value(objective), float(entry["value"]), rel_tol=1e-12):
            return None
    except (ValueError, KeyError, TypeError, AttributeError, InputError):
        return None
    return Scheduled(
        contraction=contraction,
        accelerator=accelerator,
        mapping=mapping,
        cost=figures,
        certificate=proof,
    )
