"""Random small faults in the code, one at a time: how many of them do the fast tests notice?

    python benchmarks/mutants.py [--count 50] [--seed 1] [--workers 1] [--only cost/groups]

Each mutant (`mutators.py`) is one change at one place of mapping, cost, schedule, simulate, ops or
compress, drawn uniformly over the places. The repository is copied to a temporary folder, where the
unchanged tests must pass; then `pytest -m 'not slow' -x` runs on every mutant, first the tests that
entered the changed function, its own folder's before others and short ones before long ones, then
all the rest. A mutant is killed by a test that fails, or that takes three times as long and a
minute. Compiled code is compiled anew where it may see the change. Mutants that no test could tell
apart stand with their reasons in `mutants_equivalent.py`; one that is drawn is printed, not
counted, and replaced by another. Rows on stdout, one line of JSON last.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mutants_equivalent import EQUIVALENT
from mutators import Mutant, is_other, places

REPOSITORY = Path(__file__).parents[1]
PACKAGE = Path("src", "inferstack")
FOLDERS = ("mapping", "cost", "schedule", "simulate", "ops", "compress")
LEFT_OUT = (".git", ".venv", ".peers", ".*_cache", ".hypothesis", "__pycache__", "build", "samples")
FIRST_SECONDS = 40
"""Of tests that entered the function, to run before all others."""
SLACK, LONGER, COMPILING = 60, 3, 240
"""A run may take LONGER times as usual and SLACK seconds, and COMPILING where code is compiled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a mutant. by: the test that failed, "time" for a hang, "" for alive."""

    mutant: Mutant
    by: str
    seconds: float
    entering: int


@dataclass(slots=True)
class Tests:
    """The tests: seconds of each, and the functions that each enters.

    callers, importers: of functions by name, and of modules.
    """

    seconds: dict[str, float]
    functions: dict[str, set[str]]
    callers: dict[str, set[str]] = field(default_factory=dict)
    importers: dict[str, set[str]] = field(default_factory=dict)

    def entering(self, mutant: Mutant) -> list[str]:
        """Tests that enter the changed function, or else what names it, or else its module."""
        found = self._entering({f"{mutant.path}::{mutant.function}"}) if mutant.function else []
        if not found:
            name = mutant.function.rpartition(".")[2] or mutant.text
            found = self._entering(self._naming(mutant.path, re.split(r"\W", name)[0]))
        if not found:
            found = [
                name
                for name, functions in self.functions.items()
                if any(function.startswith(f"{mutant.path}::") for function in functions)
            ]
        own = f"tests/{mutant.path.partition('/')[0]}/"
        return sorted(found, key=lambda name: (not name.startswith(own), self.seconds[name]))

    def _naming(self, path: str, name: str) -> set[str]:
        """The functions that name something of a module, and those that name these."""
        seen, left = set[str](), deque([(path, name)])
        while left:
            home, own = left.popleft()
            places = {home} | self.importers.get(home, set())
            for caller in self.callers.get(own, set()) - seen:
                where, _, function = caller.partition("::")
                if where in places:
                    seen.add(caller)
                    left.append((where, function.rpartition(".")[2]))
        return seen

    def _entering(self, wanted: set[str]) -> list[str]:
        return [name for name, functions in self.functions.items() if functions & wanted]


def callers(root: Path) -> dict[str, set[str]]:
    """By name of a function: the functions of the package that mention the name."""
    found: dict[str, set[str]] = {}

    def visit(node: ast.AST, where: str, scope: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                visit(child, where, (*scope, child.name))
                continue
            name = getattr(child, "id", getattr(child, "attr", ""))
            if name and scope:
                found.setdefault(name, set()).add(f"{where}::{'.'.join(scope)}")
            visit(child, where, scope)

    for path in (root / PACKAGE).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        visit(tree, str(path.relative_to(root / PACKAGE)), ())
    return found


class Copy:
    """A copy of the repository in which tests run."""

    def __init__(self, root: Path):
        self.root = root
        self.importers = importers(root)
        self.stamp = 0

    def run(self, limit: float, **told: Path) -> tuple[str, str]:
        """("", output) where all tests pass, or (what failed, output). told: to the plug-in."""
        variables = {f"MUTANTS_{name.upper()}": str(path) for name, path in told.items()}
        ours = os.pathsep.join([str(self.root / "src"), str(self.root / "benchmarks")])
        command = [sys.executable, "-m", "pytest", "-x", "-m", "not slow"]
        command += ["-p", "no:cacheprovider", "-p", "mutants_plugin", "--tb=line"]
        names = [] if "order" not in told else told["order"].read_text("utf-8").splitlines()
        files = dict.fromkeys(name.partition("::")[0] for name in names)
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            process = subprocess.Popen(
                [*command, *files],
                cwd=self.root,
                env={**os.environ, **variables, "PYTHONPATH": ours},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                return "time", ""
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            output.seek(0)
            text = output.read()
        if code in (0, 5):
            return "", text
        failed = [line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return (failed[0].split(" - ")[0] if failed else f"exit status {code}"), text

    def judged(self, mutant: Mutant, tests: Tests) -> Outcome:
        """Applies the mutant, runs the tests, and takes it back."""
        start, path = time.perf_counter(), self.root / PACKAGE / mutant.path
        source, times = path.read_text(encoding="utf-8"), path.stat()
        stale = list(self._compiled(mutant.path))
        kept = {file: file.read_bytes() for file in stale}
        kept_times = {file: file.stat() for file in stale}
        self.stamp += 1
        try:
            path.write_text(mutant.applied(source), encoding="utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + self.stamp * 10**10))
            for file in stale:
                file.unlink()
            entering, by = tests.entering(mutant), ""
            for names in _stages(entering, tests):
                order = self.root / "order.txt"
                order.write_text("\n".join(names), encoding="utf-8")
                limit = SLACK + LONGER * sum(tests.seconds[name] for name in names)
                by, _ = self.run(limit + (COMPILING if stale else 0), order=order)
                if by:
                    break
        finally:
            path.write_text(source, encoding="utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            for file in self._compiled(mutant.path):
                file.unlink()
            for file, content in kept.items():
                file.write_bytes(content)
                os.utime(file, ns=(kept_times[file].st_atime_ns, kept_times[file].st_mtime_ns))
        seconds = time.perf_counter() - start
        return Outcome(mutant=mutant, by=by, seconds=seconds, entering=len(entering))

    def _compiled(self, name: str) -> Iterator[Path]:
        """Files of numba's cache that may hold code of the module, or of a value that it has."""
        for importer in sorted(reaching(self.importers, name)):
            path = self.root / PACKAGE / importer
            yield from (path.parent / "__pycache__").glob(f"{path.stem}.*.nb[ic]")


def _stages(entering: list[str], tests: Tests) -> Iterator[list[str]]:
    """Tests that entered the function, up to so many seconds of them; then all others."""
    first, left = list[str](), float(FIRST_SECONDS)
    for name in entering:
        if left > tests.seconds[name]:
            left -= tests.seconds[name]
            first.append(name)
    if first:
        yield first
    others = set(tests.seconds) - set(first)
    yield [*(n for n in entering if n in others), *sorted(others - set(entering))]


def importers(root: Path) -> dict[str, set[str]]:
    """By module of the package, as a path in it: the modules that import it."""
    package = root / PACKAGE
    files = {
        ".".join(("inferstack", *path.relative_to(package).with_suffix("").parts)): path
        for path in package.rglob("*.py")
    }
    direct: dict[str, set[str]] = {}
    for path in files.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                if name in files:
                    target = str(files[name].relative_to(package))
                    direct.setdefault(target, set()).add(str(path.relative_to(package)))
    return direct


def reaching(direct: dict[str, set[str]], path: str) -> set[str]:
    """A module, and all that import it, directly or not."""
    seen, left = {path}, [path]
    while left:
        fresh = direct.get(left.pop(), set()) - seen
        seen |= fresh
        left += fresh
    return seen


def prepared(folder: Path) -> tuple[Copy, Tests]:
    """A copy whose tests pass, code compiled, and what its tests enter. Ends with what failed."""
    root = folder / "0"
    shutil.copytree(REPOSITORY, root, ignore=shutil.ignore_patterns(*LEFT_OUT))
    samples = REPOSITORY / "samples"
    if samples.is_dir():
        (root / "samples").symlink_to(samples.resolve())
    copy, record = Copy(root), folder / "record.json"
    by, text = copy.run(3600, record=record)
    if by:
        sys.exit(f"{text}\nerror: the tests fail without any mutant: {by}")
    found = json.loads(record.read_text(encoding="utf-8"))
    return copy, Tests(
        seconds={name: seconds for name, (seconds, _) in found.items()},
        functions={name: set(functions) for name, (_, functions) in found.items()},
        callers=callers(root),
        importers=copy.importers,
    )


def drawn(root: Path, seed: int, only: str) -> Iterator[Mutant]:
    """Mutants without end or repetition, uniformly over the places of the code."""
    chance = random.Random(seed)
    sources, found = dict[str, str](), list[list[Mutant]]()
    for folder in FOLDERS:
        for path in sorted((root / PACKAGE / folder).rglob("*.py")):
            name = str(path.relative_to(root / PACKAGE))
            if name.startswith(only):
                sources[name] = path.read_text(encoding="utf-8")
                found += places(name, sources[name])
    chance.shuffle(found)
    for place in found:
        mutant = chance.choice(place)
        if is_other(mutant, sources[mutant.path]):
            yield mutant


def reason(mutant: Mutant) -> str | None:
    """Why no test can tell the mutant from the code; None where one should."""
    return EQUIVALENT.get((mutant.path, mutant.text, mutant.change))


def chosen(root: Path, count: int, seed: int, only: str) -> tuple[list[Mutant], list[Mutant]]:
    """So many mutants, and the equivalent ones that were drawn on the way."""
    counted, equivalent = list[Mutant](), list[Mutant]()
    for mutant in drawn(root, seed, only):
        if len(counted) == count:
            break
        (counted if reason(mutant) is None else equivalent).append(mutant)
    return counted, equivalent


def shown(mutant: Mutant) -> str:
    """Where, and what."""
    where = f"{PACKAGE / mutant.path}:{mutant.line}"
    return f"{where} {mutant.function or 'module'}: {mutant.kind}: {mutant.change}"


def judged(wanted: list[Mutant], copies: list[Copy], tests: Tests) -> list[Outcome]:
    """The outcomes, in the order of the mutants; each is printed when it is there."""
    left: queue.Queue[tuple[int, Mutant]] = queue.Queue()
    for numbered in enumerate(wanted):
        left.put(numbered)
    found: dict[int, Outcome] = {}

    def work(copy: Copy) -> None:
        while True:
            try:
                number, mutant = left.get_nowait()
            except queue.Empty:
                return
            outcome = copy.judged(mutant, tests)
            found[number] = outcome
            state = f"killed by {outcome.by}" if outcome.by else "ALIVE"
            print(
                f"{len(found):3} {outcome.seconds:6.1f} s  {shown(mutant)}\n"
                f"               {state} ({outcome.entering} tests enter it)",
                flush=True,
            )

    threads = [threading.Thread(target=work, args=(copy,)) for copy in copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in sorted(found)]


def main() -> None:
    """Parse, draw, judge, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="copies that run side by side")
    parser.add_argument("--only", default="", metavar="PATH", help="files of which folder, or file")
    given = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        copy, tests = prepared(Path(name))
        copies = [copy]
        for number in range(1, given.workers):
            shutil.copytree(copy.root, Path(name, str(number)), symlinks=True)
            copies.append(Copy(Path(name, str(number))))
        wanted, equivalent = chosen(copy.root, given.count, given.seed, given.only)
        print(f"{len(tests.seconds)} tests, {sum(tests.seconds.values()):.0f} s", flush=True)
        for mutant in equivalent:
            print(f"not counted: {shown(mutant)}\n             {reason(mutant)}", flush=True)
        outcomes = judged(wanted, copies, tests)
    alive = [one for one in outcomes if not one.by]
    print(f"\n{len(outcomes) - len(alive)} of {len(outcomes)} killed, seed {given.seed}")
    for one in alive:
        print(f"alive: {shown(one.mutant)}")
    document = {
        "seed": given.seed,
        "mutants": len(outcomes),
        "killed": len(outcomes) - len(alive),
        "alive": [shown(one.mutant) for one in alive],
        "equivalent": [f"{shown(one)} ({reason(one)})" for one in equivalent],
        "tests": len(tests.seconds),
        "seconds": round(time.perf_counter() - start, 1),
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
