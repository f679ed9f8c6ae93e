"""Gemmini's header as a machine: its numbers with their source, every mistake by its macro."""

from __future__ import annotations

from pathlib import Path

import pytest

import inferstack as ist
from inferstack.cli.main import main
from inferstack.core.errors import AcceleratorError

HEADER = """#ifndef GEMMINI_PARAMS_H
#define GEMMINI_PARAMS_H
#include <stdint.h>

#define XCUSTOM_ACC 3
#define DIM 8
#define ADDR_LEN 32
#define BANK_NUM 4
#define BANK_ROWS (2 * 1024) // rows of a bank
#define ACC_ROWS 512
#define MAX_BYTES 64
#define MAX_BLOCK_LEN (MAX_BYTES/(DIM*1))

typedef int8_t elem_t;
static const elem_t elem_t_max = 127;
typedef int32_t acc_t;
#endif
"""


def written(tmp_path: Path, text: str) -> Path:
    """A header."""
    path = tmp_path / "gemmini_params.h"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_header_becomes_a_machine(tmp_path: Path) -> None:
    made = ist.import_machine(written(tmp_path, HEADER)).accelerator
    assert (made.array.rows, made.array.columns, made.array.fill_cycles) == (8, 8, 15)
    # 4 banks of 2,048 rows of 8 bytes; 512 rows of 8 sums of 4 bytes.
    assert made.level("scratchpad").capacity_bytes == 4 * 2048 * 8
    assert made.level("accumulator").capacity_bytes == 512 * 8 * 4
    assert made.dma.request_bytes == 64
    assert made.vector_unit is None
    assert "gemmini_params.h" in made.sources["array.rows"].text


@pytest.mark.parametrize(
    ("written_as", "rows"),
    [
        ("(1 << 11)", 2048),
        ("0x800", 2048),
        ("((1UL << 12) / 2u)", 2048),
        ("(((DIM)) * (BANK_NUM << 6))", 2048),
        ("04000", 2048),
        ("~(-2049) & 0xFFFFFF | 0", 2048),
        ("-7 / 2 + 2051 + 7 % 4 - 3", 2048),
    ],
)
def test_sizes_are_constant_expressions_of_c(tmp_path: Path, written_as: str, rows: int) -> None:
    text = HEADER.replace("(2 * 1024)", written_as)
    made = ist.import_machine(written(tmp_path, text)).accelerator
    assert made.level("scratchpad").capacity_bytes == 4 * rows * 8


@pytest.mark.parametrize(
    ("macros", "written_as", "rows"),
    [
        ({"A": "1 + 2"}, "A * 2", 5),
        ({"A": "1 + 2"}, "2 * A - A", 5),
        ({"A": "(1 + 2)"}, "A * 2", 6),
        ({"A": "(1) + (2)"}, "A * 2", 5),
        ({"B": "1 + 2", "A": "B"}, "A * 2", 5),
        ({"B": "1 + 2", "A": "(B)"}, "A * 2", 6),
        # 2^25 sums, if each macro were computed as often as it is named.
        ({"A0": "1", **{f"A{i}": f"(A{i - 1} + A{i - 1})" for i in range(1, 26)}}, "A25 >> 20", 32),
    ],
)
def test_a_macro_stands_for_its_text(
    tmp_path: Path, macros: dict[str, str], written_as: str, rows: int
) -> None:
    defined = "".join(f"#define {name} {text}\n" for name, text in macros.items())
    text = HEADER.replace("(2 * 1024)", f"({written_as}) * 64").replace(
        "#define DIM", defined + "#define DIM", 1
    )
    made = ist.import_machine(written(tmp_path, text)).accelerator
    assert made.level("scratchpad").capacity_bytes == 4 * 64 * rows * 8


def test_what_stands_in_a_comment_is_not_defined(tmp_path: Path) -> None:
    made = ist.import_machine(written(tmp_path, HEADER + "/*\n#define DIM 32\n*/\n"))
    assert made.accelerator.array.rows == 8


def test_an_imported_machine_maps_from_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header, out = written(tmp_path, HEADER), tmp_path / "mine.yaml"
    assert main(["machine", "import", str(header), "-o", str(out)]) == 0
    assert main(["map", "--layer", "matmul:m=32,k=64,n=32", "--on", str(out)]) == 0
    assert "on gemmini_params, schedules" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#define DIM 8\n", "", "DIM: is not defined"),
        (
            "#define DIM 8",
            "#define DIM system(1)",
            "DIM: is no size: no constant expression; got system(1)",
        ),
        ("#define ACC_ROWS 512", "#define ACC_ROWS 0", "ACC_ROWS: is out of range; got 0"),
        ("#define DIM 8\n", "#define DIM 8\n#define DIM 16\n", "DIM: is defined twice"),
        ("(2 * 1024) //", "2 * 1024)) //", "BANK_ROWS: is no size"),
        ("typedef int8_t elem_t", "typedef float elem_t", "elem_t: is no integer type; got float"),
        ("typedef int32_t acc_t;", "", "acc_t: is no integer type"),
        (
            "typedef int8_t elem_t",
            "typedef int16_t elem_t",
            "elem_t: operands of this width are not modelled; got int16_t, need int8_t",
        ),
        ("DIM 8", "DIM (1 << -1)", "DIM: is no size: it shifts by less than 0"),
        ("DIM 8", "DIM (1 << 4000000000)", "DIM: is no size: it is larger than 64 bits"),
        ("DIM 8", "DIM 8 / 0", "DIM: is no size: it divides by 0"),
        ("DIM 8", "DIM (DIM + 1)", "DIM: is no size: DIM leads back to itself"),
        (
            "DIM 8",
            "DIM A0\n#define A29 8\n"
            + "".join(f"#define A{i} ({'-' * 350} A{i + 1})\n" for i in range(29)),
            "DIM: is no size: it is nested too deep",
        ),
        (
            "DIM 8",
            "DIM A0\n#define A20 8\n"
            + "".join(f"#define A{i} A{i + 1} + A{i + 1}\n" for i in range(20)),
            "DIM: is no size: no constant expression",
        ),
        ("DIM 8", "DIM SIDE", "DIM: is no size: SIDE is not defined"),
        ("DIM 8", "DIM 2 ** 3", "DIM: is no size: no constant expression"),
        ("DIM 8", "DIM " + "8" * 90 + "$", "DIM: is no size: no constant expression"),
        ("DIM 8", "DIM 1_000", "DIM: is no size: no constant expression"),
        ("DIM 8", "DIM 8.0", "DIM: is no size: no constant expression"),
        ("DIM 8", "DIM " + "(" * 300 + "8" + ")" * 300, "DIM: is no size: no constant expression"),
    ],
)
def test_a_header_that_cannot_be_understood_names_the_macro(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in HEADER
    with pytest.raises(AcceleratorError) as caught:
        ist.import_machine(written(tmp_path, HEADER.replace(old, new)))
    assert message in str(caught.value)


def test_machines_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machine", "list"]) == 0
    assert "eyeriss" in capsys.readouterr().out.split()
    assert main(["machine", "show", "eyeriss"]) == 0
    assert "global_buffer" in capsys.readouterr().out
    assert main(["machine", "show"]) == 2
