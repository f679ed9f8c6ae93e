"""Files of a model folder: inside it only, as JSON without surprises, key by key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from inferstack.core.errors import CheckpointError
from inferstack.core.text import one_slip, printable

LARGEST_JSON_BYTES = 2**20
ALMOST, ALIKE = 0.9, 0.8
"""difflib's likeness from which a key that is there passes for an optional or a needed one."""


class _DuplicateKeyError(Exception):
    """A JSON object names a key twice."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object whose keys are distinct."""
    content: dict[str, object] = {}
    for key, value in pairs:
        if key in content:
            raise _DuplicateKeyError(key)
        content[key] = value
    return content


def parse_json(where: str, raw: bytes) -> object:
    """The JSON value in `raw`, UTF-8. Raises CheckpointError, also for duplicate keys."""
    try:
        return json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_object)
    except UnicodeDecodeError as failure:
        raise CheckpointError(where, f"is not UTF-8 text (byte {failure.start})") from None
    except _DuplicateKeyError as failure:
        raise CheckpointError(
            where,
            f"names the key '{printable(failure.args[0])}' twice",
            hint="keep one of the two; the other would be ignored",
        ) from None
    except json.JSONDecodeError as failure:
        raise CheckpointError(
            where, f"is not JSON: {failure.msg} (line {failure.lineno}, column {failure.colno})"
        ) from None
    except (RecursionError, ValueError) as failure:
        raise CheckpointError(where, f"is not JSON that can be read: {failure}") from None


def folder_file(folder: Path, name: str) -> Path | None:
    """The regular file `name` of a model folder; None where there is none.

    Raises CheckpointError where it is something else, or leads out of the folder. A snapshot in
    Hugging Face's cache may link to the blobs of its own model.
    """
    path = folder / name
    try:
        if not path.exists():
            if path.is_symlink():
                raise CheckpointError(str(path), "is a link to nothing")
            return None
        real, home = path.resolve(), folder.resolve()
        regular = real.is_file()
    except OSError as failure:
        raise CheckpointError(str(path), "cannot be read", got=failure.strerror) from None
    homes = [home, home.parents[1] / "blobs"] if home.parent.name == "snapshots" else [home]
    if not any(real.is_relative_to(place) for place in homes):
        raise CheckpointError(
            str(path),
            "leads out of the model folder",
            got=str(real),
            hint="put the file itself into the folder",
        )
    if not regular:
        raise CheckpointError(str(path), "is not a file")
    return path


def read_object(
    folder: Path, name: str, most_bytes: int = LARGEST_JSON_BYTES
) -> dict[str, object] | None:
    """The JSON object in the file `name` of the folder; None without the file."""
    content = read_json(folder, name, most_bytes)
    if content is not None and not isinstance(content, dict):
        raise CheckpointError(str(folder / name), "is not a JSON object")
    return content


def read_json(folder: Path, name: str, most_bytes: int = LARGEST_JSON_BYTES) -> object:
    """The JSON value in the file `name` of the folder; None without the file."""
    path = folder_file(folder, name)
    return None if path is None else parse_json(str(path), read_bytes(path, most_bytes))


def read_bytes(path: Path, most: int) -> bytes:
    """The file's bytes. Raises CheckpointError where it cannot be read or has more than `most`."""
    try:
        if (size := path.stat().st_size) > most:
            need = f"at most {most:,}"
            raise CheckpointError(str(path), "is too large", got=f"{size:,} bytes", need=need)
        return path.read_bytes()
    except OSError as failure:
        raise CheckpointError(str(path), "cannot be read", got=failure.strerror) from None


class ConfigFile:
    """The keys of a config.json that a model depends on; each is read strictly.

    where: the file, for messages. Every method raises CheckpointError naming the key.
    """

    def __init__(self, where: str, content: Mapping[str, object]) -> None:
        self.where = where
        self.content = content

    def value(self, key: str) -> object:
        """The value of a key that must be there."""
        if key not in self.content:
            near = self._misspelt(key, ALIKE)
            raise CheckpointError(
                self.where,
                f"lacks the key {key!r}",
                hint=f"is '{printable(near)}' a misspelling of it?"
                if near
                else "take the config.json that belongs to the weights",
            )
        return self.content[key]

    def _misspelt(self, key: str, likeness: float) -> str | None:
        """The key that is there and most like `key`, which is not."""
        slips = (name for name in self.content if one_slip(name, key))
        return next(slips, next(iter(get_close_matches(key, self.content, 1, likeness)), None))

    def optional(self, key: str, absent: object) -> object:
        """The value of a key, or `absent`; a key that is almost this one is a mistake."""
        if key not in self.content and (near := self._misspelt(key, ALMOST)):
            raise CheckpointError(
                self.where,
                f"has the unknown key '{printable(near)}'",
                need=f"{key!r}, or neither",
                hint="a misspelt key would be ignored",
            )
        return self.content.get(key, absent)

    def within(self, key: str, absent: Mapping[str, object]) -> ConfigFile:
        """The object under `key`, or an empty one; what it does not say is as in `absent`."""
        content, where = self.optional(key, None), f"{self.where}, {key}"
        if content is None:
            content = {}
        if not isinstance(content, dict):
            raise CheckpointError(where, "is not a JSON object")
        own = ConfigFile(where, content)
        for name in absent:
            own.optional(name, None)  # refuses one that is almost this one
        return ConfigFile(where, {**absent, **content})

    def has(self, key: str) -> bool:
        """Whether a key that may be absent has a value, which null is not."""
        return self.optional(key, None) is not None

    def flag(self, key: str, absent: bool) -> bool:
        """True or false; `absent` without the key, or where it is null."""
        value = self.optional(key, None)
        if value is None:
            return absent
        if not isinstance(value, bool):
            raise CheckpointError(
                self.where, f"{key} makes no sense", got=_shown(value), need="true or false"
            )
        return value

    def text(self, key: str) -> str:
        """Text."""
        value = self.value(key)
        if not isinstance(value, str):
            raise CheckpointError(self.where, f"{key} is not text", got=_shown(value))
        return value

    def whole(self, key: str, most: int, *, least: int = 1) -> int:
        """A whole number in [least, most]."""
        value, need = self.value(key), f"a whole number from {least:,} to {most:,}"
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise CheckpointError(self.where, f"{key} makes no sense", got=_shown(value), need=need)
        return value

    def whole_or(self, key: str, absent: int, most: int, *, least: int = 1) -> int:
        """A whole number, or `absent` where the key is missing or null."""
        if self.optional(key, None) is None:
            return absent
        return self.whole(key, most, least=least)

    def numbers(self, key: str, count: int, *, least: float = -1e12) -> tuple[float, ...]:
        """A list of that many numbers from `least` up to 1e12."""
        value = self.value(key)
        if (
            not isinstance(value, list)
            or len(value) != count
            or not all(type(one) in (int, float) and least <= one <= 1e12 for one in value)
        ):
            need = f"{count:,} numbers" + (f" from {least:g}" if least > -1e12 else "")
            raise CheckpointError(self.where, f"{key} makes no sense", got=_shown(value), need=need)
        return tuple(map(float, value))

    def number(self, key: str, least: float, most: float) -> float:
        """A number in [least, most]."""
        value, need = self.value(key), f"a number from {least:g} to {most:g}"
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        # A comparison with NaN is false; no conversion before it, which a huge integer would break.
        if number is None or not least <= number <= most:
            raise CheckpointError(self.where, f"{key} makes no sense", got=_shown(value), need=need)
        return float(number)

    def number_or(self, key: str, absent: float, least: float, most: float) -> float:
        """A number, or `absent` where the key is missing or null."""
        return absent if self.optional(key, None) is None else self.number(key, least, most)

    def choice(self, key: str, choices: Mapping[str, str]) -> str:
        """What the text under `key` stands for."""
        value = self.text(key)
        if value not in choices:
            need = f"one of {', '.join(sorted(choices))}"
            raise CheckpointError(
                self.where, f"{key} is not supported", got=_shown(value), need=need
            )
        return choices[value]

    def only(self, key: str, expected: str | bool | int | None) -> None:
        """A key that may be absent, and else must have the value that we implement."""
        value = self.optional(key, expected)
        if value is not None and (value != expected or type(value) is not type(expected)):
            raise CheckpointError(
                self.where, f"{key} is not supported", got=_shown(value), need=_shown(expected)
            )

    def multiple(self, key: str, value: int, of_key: str, of: int) -> None:
        """`value` must be a multiple of `of`."""
        if value % of:
            raise CheckpointError(
                self.where,
                f"{key} is not a multiple of {of_key}",
                got=f"{key} {value:,} and {of_key} {of:,}",
                need="heads of one whole width",
            )


def _shown(value: object) -> str:
    """A value as JSON, shortened."""
    return printable(json.dumps(value))
