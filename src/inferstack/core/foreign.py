"""Files of other tools, named as what they are, with what to do instead.

`map` and `analyze` read some of them as layers (`models.layers`); everywhere else, and for all
others, a reader that finds a file none of its own asks here before it complains.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

NEAR_BYTES = 65536
SCORE = "`inferstack map --score FILE` reads it"
LAYERS = "layers of theirs are read as a model: `inferstack map FILE`"
MACHINE = "describe the machine in YAML: `inferstack machine list` names some to extend"
IMPORT = "`inferstack machine import FILE -o machine.yaml` makes a machine of it"
MAPPING = "write a mapping of ours with `inferstack map MODEL --out FOLDER`, and edit it"
DECODER = "`inferstack generate`, `perplexity` and `analyze` read it"
GRAPH = "`inferstack analyze` and `map` read it"
FOLDER = "give a Hugging Face folder with config.json and safetensors"


@dataclass(frozen=True, slots=True)
class Foreign:
    """what: "a problem of Timeloop". instead: what to do. is_yaml: whether it is text in YAML."""

    what: str
    instead: str
    is_yaml: bool = True


CHECKPOINT = "such as a PyTorch checkpoint (.pt, .bin)"
BINARIES = (
    (b"GGUF", Foreign("a GGUF model of llama.cpp", DECODER, is_yaml=False)),
    (b"PK\x03\x04", Foreign(f"a zip archive, {CHECKPOINT}", FOLDER, is_yaml=False)),
    *(
        (bytes([0x80, protocol]), Foreign(f"a Python pickle, {CHECKPOINT}", FOLDER, is_yaml=False))
        for protocol in range(2, 6)
    ),
    (b"\x08", Foreign("an ONNX model", GRAPH, is_yaml=False)),
)
"""By how a file begins. An ONNX file begins with its version, and ends in .onnx."""
TEXTS = (
    (
        r"^problem\s*:",
        Foreign("a problem of Timeloop", LAYERS),
    ),
    (
        r"^arch(itecture)?\s*:|^variables\s*:",
        Foreign("an architecture of Timeloop or AccelForge", MACHINE),
    ),
    (
        r"^mapping\s*:|^\s*-\s*(target|type)\s*:",
        Foreign("a mapping of Timeloop or AccelForge", MAPPING),
    ),
    (
        r"spatial_mapping\s*:|memory_operand_links\s*:|core_allocation\s*:",
        Foreign("a mapping of ZigZag", MAPPING),
    ),
    (
        r"operator_type\s*:|loop_dims\s*:",
        Foreign("a workload of ZigZag", "write the layers as a YAML list (`layers:`) or CSV"),
    ),
    (
        r"operational_array\s*:|^memories\s*:",
        Foreign("an accelerator of ZigZag", MACHINE),
    ),
    (
        r"\A(\s|#.*\n)*\[(general|architecture_presets)\]",
        Foreign("a configuration of SCALE-Sim", MACHINE, is_yaml=False),
    ),
    (
        r"\A\s*layer( name)?\s*,",
        Foreign("a topology of SCALE-Sim", LAYERS, is_yaml=False),
    ),
    (
        r"^\s*#\s*ifndef\s+GEMMINI_PARAMS_H|^\s*#\s*define\s+DIM\s",
        Foreign("Gemmini's header of parameters", IMPORT, is_yaml=False),
    ),
    (
        r"^layers\s*:",
        Foreign("a list of layers", LAYERS),
    ),
    (
        r"^group\s*:",
        Foreign(
            "a fused group that `inferstack map --out` wrote",
            SCORE,
        ),
    ),
    (
        r"^nest\s*:",
        Foreign("a mapping that `inferstack map --out` wrote", SCORE),
    ),
    (
        r"^(extends|levels)\s*:",
        Foreign("a machine of ours", "`--on FILE` reads it"),
    ),
)
"""By a line of text, the first that is found."""


def recognised(path: Path) -> Foreign | None:
    """What a file is, by how it looks; None for what is not known, or cannot be read."""
    try:
        with path.open("rb") as file:
            near = file.read(NEAR_BYTES)
    except OSError:
        return None
    for magic, foreign in BINARIES:
        if near.startswith(magic) and (magic != b"\x08" or path.suffix.lower() == ".onnx"):
            return foreign
    text = near.decode("utf-8", errors="ignore")
    for pattern, foreign in TEXTS:
        if re.search(pattern, text, flags=re.MULTILINE | re.IGNORECASE):
            return foreign
    return None
