"""Files changed at random, through the doors of the command line: one clear message, or a result.

    python benchmarks/hostile_files.py [--count 5000] [--seed 1] [--kinds machine nest ...]

A fault is a failure outside of InferStack's own error tree, a warning, more than 20 s, more than
2 GiB of new memory, a message that a terminal cannot print, or a misspelt key that is taken in
silence (of those keys whose value is checked when it is spelt right). One JSON document last.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from inferstack.core.errors import InferStackError
from mutations import Mutant, Original, Place, mutate, replaced, written
from valid_files import Kind, kinds_in

LONGEST_S = 20
MORE_BYTES = 2**31
LONGEST_MESSAGE = 4000
SHOWN_FAULTS = 5
WRONG_VALUE = {"hostile": [None]}


class TooLongError(BaseException):
    """What the alarm raises; no reader may catch it."""


@dataclass(slots=True)
class Tally:
    """What became of the mutants of one kind."""

    accepted: int = 0
    refused: int = 0
    misspelt: int = 0
    slowest_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    shown: list[dict[str, str]] = field(default_factory=list)

    def fault(self, kind: str, mutant: Mutant, text: str) -> None:
        """Counts it; the first few are shown whole."""
        self.faults[kind] += 1
        if len(self.shown) < SHOWN_FAULTS:
            self.shown.append({"fault": kind, "how": mutant.how[:300], "text": text[-1500:]})


def _alarm(_: int, __: FrameType | None) -> None:
    raise TooLongError


def _refusal(kind: Kind, raw: bytes) -> str | None:
    """The message with which a file is refused; None where it is taken."""
    kind.path.write_bytes(raw)
    signal.alarm(LONGEST_S)
    try:
        kind.door(kind.path)
    except InferStackError as refused:
        return refused.message()
    finally:
        signal.alarm(0)
    return None


def is_checked(kind: Kind, original: Original, place: Place) -> bool:
    """Whether the value of a key is checked: a wrong one is refused. Its name must be, too."""
    if kind.names(place):
        return False
    if original.form == "csv":
        return True
    wrong = replaced(original.content, place, WRONG_VALUE)
    return _refusal(kind, written(wrong, original.form, original.body)) is not None


def attack(kind: Kind, count: int, rng: random.Random) -> Tally:
    """`count` mutants through the door; the valid file is put back."""
    tally = Tally()
    for original in kind.originals:
        assert (said := _refusal(kind, original.raw)) is None, said
    for _ in range(count):
        original = rng.choice(kind.originals)
        mutant = mutate(original, rng)
        begin = time.perf_counter()
        try:
            refusal = _refusal(kind, mutant.raw)
        except KeyboardInterrupt:
            raise
        except TooLongError:
            tally.fault("hang", mutant, traceback.format_exc())
        except MemoryError:
            tally.fault("memory", mutant, traceback.format_exc())
        except BaseException:  # noqa: BLE001 - every one is a fault, panics of libraries too
            tally.fault("traceback", mutant, traceback.format_exc())
        else:
            place = mutant.misspelt
            if refusal is not None:
                _judge(tally, mutant, refusal)
            elif (
                place is not None
                and mutant.spelling not in kind.spellings
                and is_checked(kind, original, place)
            ):
                tally.fault("misspelt key", mutant, "taken in silence")
            else:
                tally.accepted += 1
        tally.slowest_s = max(tally.slowest_s, round(time.perf_counter() - begin, 2))
    kind.path.write_bytes(kind.originals[0].raw)
    return tally


def _judge(tally: Tally, mutant: Mutant, refusal: str) -> None:
    """Whether a refusal is one message that a terminal can print."""
    tally.refused += 1
    tally.misspelt += mutant.misspelt is not None
    plain = refusal.replace("\n", "")
    try:
        printable = plain.encode().decode().isprintable()
    except UnicodeEncodeError:
        printable = False
    if not printable or not plain or len(refusal) > LONGEST_MESSAGE:
        tally.fault("message", mutant, ascii(refusal))


def limit_memory() -> None:
    """At most `MORE_BYTES` of address space beyond what stands now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main() -> None:
    """Parse, attack, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=5000, help="mutants of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", metavar="KIND")
    given = parser.parse_args()
    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, _alarm)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        kinds = kinds_in(Path(name))
        wanted = given.kinds or list(kinds)
        if unknown := set(wanted) - set(kinds):
            parser.error(f"unknown kinds {sorted(unknown)}; there are {', '.join(kinds)}")
        for kind in wanted:
            # Imports and compiles, before memory counts.
            _refusal(kinds[kind], kinds[kind].originals[0].raw)
        limit_memory()
        for kind in wanted:
            begin = time.perf_counter()
            tally = attack(kinds[kind], given.count, random.Random(f"{given.seed} {kind}"))
            found[kind] = {
                "mutants": given.count,
                "accepted": tally.accepted,
                "refused": tally.refused,
                "misspelt_refused": tally.misspelt,
                "slowest_s": tally.slowest_s,
                "faults": dict(tally.faults),
                "first_faults": tally.shown,
            }
            print(
                f"{kind:12} {given.count:6,} mutants: {tally.accepted:6,} taken, "
                f"{tally.refused:6,} refused, {sum(tally.faults.values()):4,} faults, slowest "
                f"{tally.slowest_s:.2f} s, {time.perf_counter() - begin:.0f} s in all",
                flush=True,
            )
    faults = sum(sum(one["faults"].values()) for one in found.values())
    print(json.dumps({"seed": given.seed, "faults": faults, "kinds": found}))
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
