"""Hostile changes of a valid file: of its bytes, of its lines, and of the values that it holds.

`mutate(original, rng)` gives a `Mutant`; the same generator gives the same mutants.
"""

from __future__ import annotations

import copy
import json
import random
import string
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from binary_files import gguf_file, torch_file, torch_pickle

Place = tuple[Any, ...]
DEEP = 400
"""Levels of nesting: more than any reader needs, fewer than Python's own limit of 1,000."""
LONG = 5_000
LENGTH_BYTES = 8
"""Of a safetensors file: how long its header is."""

NUMBERS = (
    0, -1, 1, 2, 3, 255, 2**31, 2**32, 2**48, 2**63, 2**64, -(2**63), 10**19, 10**400,
    0.5, -0.0, 1e-300, 1e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
TEXTS = (
    "", " ", "nan", "1e9", "0x10", "null", "true", "*", "&a", "!!python/object:os.system", "~", "-",
    "../../etc/passwd", "/dev/zero", "a" * LONG, "\x1b[31m", "\x00", "\r\n", "\u202e", "\ud800",
    "Ü" * 50, "k", "m", "input", "weight", "dram", "gelu", "roberta",
)  # fmt: skip
BYTES = (b"", b"\x00", b"\xff\xfe", b'"', b"{", b"}", b"[", b"]", b":", b",", b"\n", b"- ", b"#",
         b"9" * 30, b"e999", b"-", b"&a ", b"*a", b"!!", b"|", b"\t", b"\xe2\x80\xae")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Original:
    """A valid file. form: json, yaml, header (safetensors), gguf, torch, csv or text. content: its
    value. body: the tensors' bytes, which are not changed."""

    raw: bytes
    form: str
    content: Any = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Mutant:
    """How it was made, the bytes, and the place of the key that was misspelt as `spelling`."""

    how: str
    raw: bytes
    misspelt: Place | None = None
    spelling: str = ""


def written(content: Any, form: str, body: bytes = b"") -> bytes:
    """The bytes of a value. body: of tensors."""
    if form == "gguf":
        return gguf_file(content, body)
    if form in ("yaml", "torch"):
        usual = sys.getrecursionlimit()
        sys.setrecursionlimit(usual + 20 * DEEP)  # the writer's; readers have the usual one
        try:
            if form == "torch":
                return torch_file(torch_pickle(content), body)
            text: str = yaml.dump(content, sort_keys=False, default_flow_style=None, width=100)
        finally:
            sys.setrecursionlimit(usual)
        return text.encode("utf-8", errors="surrogatepass")
    made = json.dumps(content).encode("utf-8", errors="surrogatepass")
    return made if form == "json" else len(made).to_bytes(LENGTH_BYTES, "little") + made + body


def body_of(raw: bytes) -> bytes:
    """What stands behind the header of safetensors."""
    return raw[LENGTH_BYTES + int.from_bytes(raw[:LENGTH_BYTES], "little") :]


def _remade(original: Original, content: Any) -> bytes:
    return written(content, original.form, original.body)


def places(value: Any, at: Place = ()) -> list[Place]:
    """The keys that lead to each part of a value, the value itself left out."""
    if not isinstance(value, dict | list):
        return []
    inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    found: list[Place] = []
    for key, part in inner:
        found += [(*at, key), *places(part, (*at, key))]
    return found


def part(value: Any, place: Place) -> Any:
    """What stands at a place."""
    for key in place:
        value = value[key]
    return value


def replaced(value: Any, place: Place, new: Any) -> Any:
    """A copy with another value at a place."""
    made = copy.deepcopy(value)
    part(made, place[:-1])[place[-1]] = new
    return made


def misspelt(key: str, rng: random.Random) -> str:
    """The key with one letter dropped, doubled, changed, swapped, or in another case."""
    at = rng.randrange(len(key))
    letter = rng.choice(string.ascii_lowercase)
    swapped = key[: at - 1] + key[at] + key[at - 1] + key[at + 1 :] if at else key + "s"
    options = (
        key[:at] + key[at + 1 :], key[:at] + key[at] + key[at:], key[:at] + letter + key[at + 1 :],
        swapped, key[:at] + key[at].upper() + key[at + 1 :], key + "s", key.replace("_", "-"),
    )  # fmt: skip
    return next((one for one in rng.sample(options, len(options)) if one and one != key), key + "s")


def renamed(value: Any, place: Place, key: str) -> Any:
    """A copy where the last key of a place has another name, at the same place of its mapping."""
    made = copy.deepcopy(value)
    inside = part(made, place[:-1])
    entries = [(key if name == place[-1] else name, entry) for name, entry in inside.items()]
    inside.clear()
    inside.update(entries)
    return made


def deep(rng: random.Random) -> Any:
    """Lists or mappings inside each other."""
    value: Any = 1
    for _ in range(rng.choice((5, 20, DEEP))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def _near(value: Any, rng: random.Random) -> Any:
    """A number that is a little off, or another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice((-2, -1, 1, 2, value, 1 - 2 * value))
    if isinstance(value, float):
        return value * rng.choice((0.5, 0.999, 1.001, 2.0, -1.0))
    if isinstance(value, str) and value:
        return misspelt(value, rng)
    if isinstance(value, list) and value:
        return rng.choice((value[:-1], value * 2, value[::-1], [value]))
    return [value]


def _other(rng: random.Random) -> Any:
    return rng.choice(
        (rng.choice(NUMBERS), rng.choice(TEXTS), None, True, [], {}, [1], {"a": 1}, [["a", 1]],
         deep(rng), list(range(300)))
    )  # fmt: skip


def _keys_mutant(original: Original, rng: random.Random) -> Mutant | None:
    """A key misspelt, deleted or added."""
    content = original.content
    named = [place for place in places(content) if isinstance(place[-1], str) and place[-1]]
    if not named:
        return None
    place = rng.choice(named)
    how = rng.choice(("misspelt", "misspelt", "deleted", "added"))
    if how == "misspelt":
        key = misspelt(place[-1], rng)
        if key in part(content, place[:-1]):
            return None
        made = renamed(content, place, key)
        return Mutant(f"misspelt {place} as {key!r}", _remade(original, made), place, key)
    made = copy.deepcopy(content)
    if how == "deleted":
        del part(made, place[:-1])[place[-1]]
    else:
        part(made, place[:-1])[rng.choice(TEXTS)] = part(made, place)
    return Mutant(f"{how} {place}", _remade(original, made))


def _values_mutant(original: Original, rng: random.Random) -> Mutant | None:
    """One to three values replaced."""
    made, touched = copy.deepcopy(original.content), []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        options = places(made)
        if not options:
            break
        place = rng.choice(options)
        new = _near(part(made, place), rng) if rng.random() < 0.5 else _other(rng)
        part(made, place[:-1])[place[-1]] = new
        touched.append(f"{place} = {repr(new)[:40]}")
    return Mutant("; ".join(touched), _remade(original, made)) if touched else None


def _cells_mutant(original: Original, rng: random.Random) -> Mutant | None:
    """A cell of a CSV replaced; one of its header is misspelt."""
    rows = [line.split(",") for line in original.raw.decode().splitlines()]
    row = rng.choice((0, rng.randrange(len(rows))))
    filled = [number for number, cell in enumerate(rows[row]) if cell.strip()]
    if not filled:
        return None
    column = rng.choice(filled)
    cell = rows[row][column].strip()
    rows[row][column] = misspelt(cell, rng) if row == 0 else str(rng.choice((*NUMBERS, *TEXTS)))
    text = "\n".join(map(",".join, rows)) + "\n"
    changed = rows[row][column].lower().split() != cell.lower().split()
    return Mutant(
        f"cell {column} of row {row} = {rows[row][column][:40]!r}",
        text.encode("utf-8", errors="surrogatepass"),
        (cell,) if row == 0 and changed else None,
    )


def _lines_mutant(original: Original, rng: random.Random) -> Mutant | None:
    """Lines (of JSON: pieces between commas) doubled, dropped, swapped, or made an alias."""
    joint = b"," if original.form == "json" else b"\n"
    lines = original.raw.split(joint)
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    how = rng.choice(("doubled", "dropped", "swapped", "moved in", "alias"))
    if how == "doubled":
        lines.insert(at, lines[at])
    elif how == "dropped":
        del lines[at]
    elif how == "swapped":
        lines[at], lines[other] = lines[other], lines[at]
    elif how == "moved in":
        lines[at] = b" " * rng.randrange(1, 5) + lines[at]
    else:
        key, colon, value = lines[at].partition(b":")
        lines[at] = key + colon + rng.choice((b" &a ", b" *a", b" !!set ", b" <<: ")) + value
    return Mutant(f"line {at} {how} (of {other})", joint.join(lines))


def _bytes_mutant(original: Original, rng: random.Random) -> Mutant | None:
    """Bytes flipped, put in or cut out; or the end cut off. Of files with a header, there."""
    made = bytearray(original.raw)
    reach = len(made) - (len(original.body) if original.form in ("header", "gguf") else 0)
    touched = _change(made, reach, rng)
    return Mutant(", ".join(touched), bytes(made))


def _pickle_mutant(original: Original, rng: random.Random) -> Mutant | None:
    """The same of the pickle inside of a zip that is whole."""
    made = bytearray(torch_pickle(original.content))
    touched = _change(made, len(made), rng)
    return Mutant(", ".join(touched) + " of the pickle", torch_file(bytes(made), original.body))


def _change(made: bytearray, reach: int, rng: random.Random) -> list[str]:
    touched = []
    for _round in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(min(reach, len(made)) + 1)
        how = rng.choice(("flipped", "put", "cut"))
        if how == "flipped" and at < len(made):
            made[at] ^= 1 << rng.randrange(8)
        elif how == "put":
            made[at:at] = rng.choice(BYTES)
        else:
            del made[at : at + rng.randrange(1, 9)]
        touched.append(f"{how} at {at}")
    if rng.random() < 0.2:
        end = rng.randrange(len(made) + 1)
        del made[end:]
        touched.append(f"cut off at {end}")
    return touched


Maker = Callable[[Original, random.Random], Mutant | None]
ANY: tuple[Maker, ...] = (_lines_mutant, _bytes_mutant)
MAKERS: dict[str, tuple[Maker, ...]] = {
    "json": (_keys_mutant, _values_mutant, _values_mutant, *ANY),
    "yaml": (_keys_mutant, _values_mutant, _values_mutant, *ANY),
    "header": (_keys_mutant, _values_mutant, _values_mutant, _bytes_mutant),
    "gguf": (_keys_mutant, _values_mutant, _values_mutant, _bytes_mutant),
    "torch": (_keys_mutant, _values_mutant, _values_mutant, _bytes_mutant, _pickle_mutant),
    "text": ANY,
    "csv": (_cells_mutant, _cells_mutant, *ANY),
}


def mutate(original: Original, rng: random.Random) -> Mutant:
    """A mutant, which differs from the original."""
    while True:
        made = rng.choice(MAKERS[original.form])(original, rng)
        if made is not None and made.raw != original.raw:
            return made
