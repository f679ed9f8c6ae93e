"""kill -9 at random moments of `optimize` and of `map --store`, then the same command again.

    python benchmarks/kill.py [--count 100] [--seed 1]

Half of the kills come at a moment of the whole run, half when a random number of files stands, or
begins to. The second run must end as an undisturbed one: the same output, the same bytes in every
file (in a store, the same entries but for the seconds that a search took), no file more, and what
the user has there untouched. A tiny BERT with random weights; one JSON document last.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from inferstack.testing.checkpoints import tiny_bert

SENTENCES = "the cat sat on the mat\na dog ran very far\ncats and dogs playing\nvery far\nthe mat\n"
NOTES = "my notes about inferstack, three weeks of work\n"
STORE = "kept/optima.sqlite"
USUAL = ("--quiet",)
COMMANDS = {
    "optimize": (
        "optimize", "T", "--seq-len", "16", "--data", "sentences.txt", "--check", "1",
        "--out", "results/out", "--report", "results/report.html",
    ),
    "map": ("map", "T", "--seq-len", "16", "--store", STORE, "--out", "results/out"),
}  # fmt: skip
POLL_S = 0.002
LONGEST_S = 120


@dataclass(slots=True)
class Tally:
    """What became of the kills of one command."""

    kills: int = 0
    ended_before: int = 0
    by_files: int = 0
    left_partial_files: int = 0
    other_results: int = 0
    leftovers: int = 0
    changed_user_files: int = 0
    first_faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Shows the first few."""
        if len(self.first_faults) < 5:
            self.first_faults.append(text[:600])


def prepared(place: Path) -> Path:
    """A folder with a model, sentences and notes of the user's."""
    tiny_bert(place / "T").write()
    (place / "sentences.txt").write_text(SENTENCES, encoding="utf-8")
    for folder in ("results", "kept"):
        (place / folder).mkdir()
        (place / folder / "notes.txt").write_text(NOTES, encoding="utf-8")
        (place / folder / ".report.html-notes").write_text(NOTES, encoding="utf-8")
    return place


def command(which: str) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "inferstack", *USUAL, *COMMANDS[which]]


def files_in(place: Path) -> dict[str, bytes]:
    """Every file by its path; a store by its entries."""
    found = {}
    for path in sorted(place.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(place))
            found[name] = entries(path) if name == STORE else path.read_bytes()
    return found


def entries(path: Path) -> bytes:
    """Of a store: keys and contents, but for the seconds."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT key, content FROM optima ORDER BY key").fetchall()
    connection.close()
    contents = [(key, json.loads(content)) for key, content in rows]
    for _, content in contents:
        content["proof"].pop("seconds")
    return json.dumps(contents).encode()


def run(which: str, place: Path) -> tuple[bytes, dict[str, bytes]]:
    """What an undisturbed run prints, and every file behind it."""
    done = subprocess.run(
        command(which), cwd=place, capture_output=True, timeout=LONGEST_S, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout, files_in(place)


def kill(which: str, place: Path, seconds: float, most_files: int, rng: random.Random) -> str:
    """Starts the command and kills it; says why: "time", "files", or "" where it had ended."""
    before = sum(1 for _ in place.rglob("*"))
    how = rng.choice(("time", "files"))
    moment = rng.uniform(0, seconds)
    wanted = before + rng.randint(1, most_files)
    after = rng.choice((0.0, rng.uniform(0, 0.02)))
    process = subprocess.Popen(
        command(which), cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    begin = time.perf_counter()
    while process.poll() is None:
        late = time.perf_counter() - begin > moment
        if late if how == "time" else sum(1 for _ in place.rglob("*")) >= wanted:
            time.sleep(after)
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(POLL_S)
    return how if process.wait() == -signal.SIGKILL else ""


def attack(which: str, count: int, rng: random.Random, folder: Path) -> Tally:
    """`count` kills of one command, each in a folder of its own."""
    tally = Tally()
    place = prepared(folder / f"{which}-undisturbed")
    own, before = set(files_of(place)), len(list(place.rglob("*")))
    run(which, prepared(folder / f"{which}-first"))  # compiles
    begin = time.perf_counter()
    expected, files = run(which, place)
    seconds = time.perf_counter() - begin
    users = {name: content for name, content in files.items() if name in own}
    made = len(list(place.rglob("*"))) - before
    while tally.kills < count:
        place = prepared(folder / f"{which}{tally.kills + tally.ended_before}")
        how = kill(which, place, seconds, made, rng)
        if not how:
            tally.ended_before += 1
            continue
        tally.kills += 1
        tally.by_files += how == "files"
        tally.left_partial_files += bool(set(files_of(place)) - set(files))
        printed, found = run(which, place)
        if more := sorted(set(found) - set(files)):
            tally.leftovers += 1
            tally.fault(f"leftovers: {more}")
        others = [name for name, content in files.items() if found.get(name) != content]
        if [name for name in others if name in users]:
            tally.changed_user_files += 1
            tally.fault(f"changed: {others}")
        if printed != expected or [name for name in others if name not in users]:
            tally.other_results += 1
            tally.fault(f"other results: {others}, printed {printed[:200]!r}")
    return tally


def files_of(place: Path) -> list[str]:
    """The names of all files."""
    return [str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()]


def main() -> None:
    """Parse, kill, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="kills in all, half of each verb")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = {}
    for which in COMMANDS:
        with tempfile.TemporaryDirectory() as name:
            rng = random.Random(f"{given.seed} {which}")
            tally = attack(which, given.count // 2, rng, Path(name))
        found[which] = asdict(tally)
        print(
            f"{which:9} {tally.kills} kills ({tally.by_files} by files, {tally.ended_before} too "
            f"late), {tally.left_partial_files} left partial files; then {tally.other_results} "
            f"other results, {tally.leftovers} with leftovers, {tally.changed_user_files} changed "
            "files of the user's",
            flush=True,
        )
    faults = sum(
        one["other_results"] + one["leftovers"] + one["changed_user_files"]
        for one in found.values()
    )
    print(json.dumps({"seed": given.seed, "faults": faults, "commands": found}))
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
