"""Count what a model asks for: FLOPs, bytes, intensity, memory."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inferstack.api.choices import ElementType, Group, Mask, Task
from inferstack.cli import completion
from inferstack.cli.asked import asked_name
from inferstack.cli.console import session_of
from inferstack.core.errors import InputError
from inferstack.report.path import check_report_path

MOST_LENGTHS = 64
MOST_DIGITS = 12


class Format(StrEnum):
    """How the answer is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    """Adds `inferstack analyze`."""

    @app.command()
    def analyze(
        context: typer.Context,
        model: Annotated[
            str | None,
            typer.Argument(
                help="A model's name, a Hugging Face folder with config.json, an ONNX file, "
                "or a file of layers.",
                autocompletion=completion.models,
            ),
        ] = None,
        layer: Annotated[
            list[str] | None,
            typer.Option(
                metavar="KIND:SIZE=N,...",
                help="Count this layer instead of a model, as in map; may be given several times.",
            ),
        ] = None,
        seq_len: Annotated[
            str | None,
            typer.Option(metavar="N[,N...]", help="Tokens per sequence. [default: 128,512]"),
        ] = None,
        phase: Annotated[
            Task | None,
            typer.Option(
                help="Encoders encode. Decoders generate all tokens of the sequence one by one, "
                "prefill them as a prompt, or decode only the last one. [default: encode, generate]"
            ),
        ] = None,
        batch: Annotated[int, typer.Option(help="Sequences, or images, at once.")] = 1,
        image_size: Annotated[
            int | None, typer.Option(help="Height and width in pixels, for ResNets. [default: 224]")
        ] = None,
        convention: Annotated[
            str,
            typer.Option(
                help="exact, or survey: as Kim et al. 2023 count.",
                autocompletion=completion.conventions,
            ),
        ] = "exact",
        dtype: Annotated[
            ElementType | None,
            typer.Option(
                help="Weights and activations, for exact. [default: what config.json says, "
                "else float32; int8 on a machine]"
            ),
        ] = None,
        mask: Annotated[
            Mask | None,
            typer.Option(
                help="causal: each pair of query and key that a decoder attends to once; full: "
                "whole rectangles.  [default: causal for decoders, full for encoders]"
            ),
        ] = None,
        by: Annotated[Group, typer.Option(help="What a row is.")] = Group.PART,
        on: Annotated[
            str | None,
            typer.Option(
                metavar="ACCELERATOR",
                help="Also model its time on this machine.",
                autocompletion=completion.machines,
            ),
        ] = None,
        roofline: Annotated[
            Path | None,
            typer.Option(metavar="FILE.html", help="Draw the roofline of --on into this file."),
        ] = None,
        form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    ) -> None:
        """Count what a model asks for: FLOPs, bytes, intensity, memory.

        Needs no weights: everything follows from the loops of the model's operators.
        """
        import inferstack as ist

        session = session_of(context)
        if roofline is not None:
            check_report_path(roofline, "--roofline")
        if roofline is not None and on is None and convention == "exact":
            # A roofline says what an array of 8 bits could reach.
            dtype = dtype or ElementType.INT8
        name = asked_name(model, layer, image_size)
        asked = ist.layers(*layer) if layer else ist.load(name, image_size=image_size)
        counts = asked.count(
            None if seq_len is None else read_lengths(seq_len),
            phase=phase,
            batch=batch,
            convention=convention,
            dtype=dtype,
            by=by,
            mask=mask,
            on=on,
        )
        for note in counts.notes:
            session.narrate(note)
        if form is Format.JSON:
            session.show_json(counts.to_dict())
        elif form is Format.CSV:
            session.show_text(counts.to_csv())
        else:
            session.show(counts.table())
        if roofline is not None:
            counts.save_roofline(roofline, "--roofline")
            session.wrote(roofline, f"the roofline on {counts.roofline_machine}")


def read_lengths(text: str) -> tuple[int, ...]:
    """The sequence lengths in "128,512,4096", each once. Raises InputError."""
    words = [word.strip() for word in text.split(",")]
    shown = text if len(text) <= 40 else text[:37] + "..."
    for word in words:
        if not (word.isascii() and word.isdigit() and len(word) <= MOST_DIGITS):
            raise InputError(
                f"--seq-len {shown}",
                "is no list of sequence lengths",
                got=repr(word[:20]),
                need="whole numbers of tokens with commas between them",
                hint="for example --seq-len 128,512,4096",
            )
    lengths = tuple(dict.fromkeys(int(word) for word in words))
    if len(lengths) > MOST_LENGTHS:
        raise InputError(
            "--seq-len", "too many lengths", got=len(lengths), need=f"at most {MOST_LENGTHS}"
        )
    return lengths
