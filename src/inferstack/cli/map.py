"""Find the proven best schedules, and what to fuse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferstack.api.choices import Mask, Task
from inferstack.cli import completion
from inferstack.cli.asked import asked_name
from inferstack.cli.console import Format, session_of

USUAL_MACHINE = "peers-target"


def register(app: typer.Typer) -> None:
    """Adds `inferstack map`."""

    @app.command("map")
    def map_(
        context: typer.Context,
        model: Annotated[
            str | None,
            typer.Argument(
                help="A model's name, a Hugging Face folder with config.json, or a file of layers: "
                "SCALE-Sim's CSV, Timeloop's problem, a YAML list.",
                autocompletion=completion.models,
            ),
        ] = None,
        layer: Annotated[
            list[str] | None,
            typer.Option(
                metavar="KIND:SIZE=N,...",
                help="Map this layer instead of a model; may be given several times: "
                "matmul:m=512,k=768,n=3072 or conv:c=64,n=64,h=56,w=56,r=3,s=3,padding=1 (also "
                "stride, dilation, groups, batch, count).",
            ),
        ] = None,
        on: Annotated[
            str | None,
            typer.Option(
                help="The accelerator: a name of the library or a YAML file.  "
                "[default: peers-target]",
                autocompletion=completion.machines,
            ),
        ] = None,
        seq_len: Annotated[
            int | None, typer.Option(help="Tokens of each sequence.  [default: 512]")
        ] = None,
        phase: Annotated[
            Task | None,
            typer.Option(
                help="Encoders encode. Decoders prefill a prompt, or decode the last token of the "
                "sequence, the others cached.  [default: encode, decode]"
            ),
        ] = None,
        mask: Annotated[
            Mask | None,
            typer.Option(
                help="Accepted as by analyze; schedules walk rectangles, so masked pairs of a "
                "prompt are computed too, and the output says so."
            ),
        ] = None,
        batch: Annotated[int, typer.Option(help="Sequences, or images, at once.")] = 1,
        image_size: Annotated[
            int | None, typer.Option(help="Height and width in pixels, for ResNets. [default: 224]")
        ] = None,
        objective: Annotated[
            str,
            typer.Option(
                help="What is minimized: latency, energy, edp, dram_bytes.",
                autocompletion=completion.objectives,
            ),
        ] = "edp",
        fuse: Annotated[
            bool, typer.Option("--fuse/--no-fuse", help="Search what to fuse, or fuse nothing.")
        ] = True,
        perfect: Annotated[
            bool,
            typer.Option(
                "--perfect",
                help="Only factors that divide: a smaller space, searched faster.",
            ),
        ] = False,
        budget: Annotated[
            float | None,
            typer.Option(
                min=0, help="Seconds for each search, after which the best so far is taken."
            ),
        ] = None,
        workers: Annotated[
            int,
            typer.Option(
                min=1,
                help="Processes that search distinct operators side by side; the result is the "
                "same.",
            ),
        ] = 1,
        store: Annotated[
            Path | None,
            typer.Option(
                help="A file that keeps proven schedules, so that equal operators of later runs "
                "are free."
            ),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(help="A folder for plan.json, the page map.html and the mappings."),
        ] = None,
        export: Annotated[
            str | None,
            typer.Option(
                help="Also write the operators for another tool into --out: accelforge, timeloop.",
                autocompletion=completion.formats,
            ),
        ] = None,
        score: Annotated[
            Path | None,
            typer.Option(
                metavar="FILE.yaml",
                help="Check and cost this mapping file instead, on --on or the machine it names.",
            ),
        ] = None,
        format_: Annotated[
            Format, typer.Option("--format", help="How stdout shows the result.")
        ] = Format.TABLE,
    ) -> None:
        """Find the proven best schedules, and what to fuse.

        Operands are of 8 bits, what leaves for a nonlinear operator of 32. Every distinct shape is
        searched once; the certificate says what was proven over which space.

        \b
        Examples:
          inferstack map bert-base --on peers-target --seq-len 512 --objective energy --out mapped
          inferstack map --layer matmul:m=512,k=768,n=3072 --on eyeriss
          inferstack map --score mapped/mappings/layer0.scores.yaml
        """
        import inferstack as ist
        from inferstack.api.plan import check_plan_files

        session = session_of(context)
        if score is not None:
            session.show_result(ist.load_mapping(score, on=on), format_)
            return
        name = asked_name(model, layer, image_size, "or --score FILE.yaml")
        machine = ist.machine(on or USUAL_MACHINE)
        check_plan_files(out, export)
        with session.progress() as progress:
            asked = ist.layers(*layer) if layer else ist.load(name, image_size=image_size)
            plan = asked.map(
                machine,
                seq_len=seq_len,
                phase=phase,
                mask=mask,
                batch=batch,
                objective=objective,
                fuse=fuse,
                perfect=perfect,
                budget_s=budget,
                workers=workers,
                store=store,
                progress=progress,
            )
        try:
            if out is not None:
                for path, what in plan.save(out):
                    session.wrote(path, what)
                if export is not None:
                    session.wrote(plan.export(export, out), f"the operators for {export}")
        finally:
            # A full disk does not take the result of the search away.
            session.show_result(plan, format_)
