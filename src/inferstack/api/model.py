"""`load` and `Model`: a checkpoint or a named model, and what can be asked of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from inferstack.analysis.workload import Model as Found
from inferstack.analysis.workload import (
    Workload,
    check_mask,
    find_model,
    layer_model,
    own_length,
    workloads,
)
from inferstack.api.arguments import chosen, lengths_of, name_or_path, sentence_list, whole
from inferstack.api.choices import Mask, Task
from inferstack.api.counts import Counts, count
from inferstack.api.machine import Machine, machine_of
from inferstack.api.shown import Record, Shown
from inferstack.api.writer import Writer, Writing
from inferstack.core.errors import InputError, UnknownNameError
from inferstack.core.progress import Progress, silent
from inferstack.models.layers import LayerSet

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inferstack.api.classifier import Classifier
    from inferstack.api.decoder import Decoder
    from inferstack.api.encoder import Encoder
    from inferstack.api.layer import Layer
    from inferstack.api.plan import Plan
    from inferstack.api.result import Result
    from inferstack.api.transcriber import Transcriber
    from inferstack.ir.graph import Graph

USUAL_TOKENS = 512
"""Of a pass that is mapped."""
SHORT_TOKENS = 128
"""Of a pass that runs on sentences."""
USUAL_MACHINE = "peers-target"
RUN_MACHINE = "gemmini"
FULL_RECTANGLES = (
    "mask: full (schedules walk rectangles: the machine computes masked pairs of query and key too)"
)


class Model(Shown):
    """A model by its architecture and sizes. folder: of a checkpoint; None for a named model."""

    __slots__ = ("_found",)

    def __init__(self, found: Found) -> None:
        self._found = found

    @property
    def name(self) -> str:
        """Its name, or that of its folder."""
        return self._found.name

    @property
    def folder(self) -> Path | None:
        """Where the checkpoint stands."""
        return self._found.folder

    @property
    def tasks(self) -> tuple[str, ...]:
        """What can be counted, the usual task first."""
        return tuple(task.value for task in self._found.tasks)

    def count(
        self,
        seq_len: int | Sequence[int] | None = None,
        *,
        phase: str | None = None,
        batch: int = 1,
        convention: str = "exact",
        dtype: str | None = None,
        by: str = "part",
        on: Machine | str | Path | None = None,
        mask: str | None = None,
    ) -> Counts:
        """FLOPs, bytes, intensity and memory; no weights are read.

        seq_len: tokens of each sequence, one or several; 128 and 512 where none is given. phase:
        encode, generate, prefill or decode. convention: exact, or survey as Kim et al. 2023 count.
        dtype: of weights and activations. by: what a row is: part, kind or operator. on: also model
        the time on this machine. mask: causal counts each pair of query and key that a decoder
        attends to once, full whole rectangles. Raises UnknownNameError and InputError.
        """
        task = None if phase is None else chosen("--phase", phase, Task, "phase")
        asked = workloads(
            self._found, lengths=lengths_of(seq_len), task=task, batch=whole("--batch", batch)
        )
        machine = None if on is None else machine_of(on)
        return count(asked, convention, dtype, by, machine, mask)

    def graph(
        self, seq_len: int | None = None, *, phase: str | None = None, batch: int = 1
    ) -> Graph:
        """The shapes of one pass: one layer of each kind, and how often it occurs.

        Raises InputError for a task that is not one pass.
        """
        return self._workload(seq_len, phase, batch).graph()

    def layers(
        self, seq_len: int | None = None, *, phase: str | None = None, batch: int = 1
    ) -> dict[str, Layer]:
        """What the array computes in one pass, by name: each can be mapped by itself."""
        from inferstack.api.layer import Layer
        from inferstack.mapping.kernels import kernels_of

        kernels = kernels_of(self.graph(seq_len, phase=phase, batch=batch)).kernels
        return {one.name: Layer(one.contraction) for one in kernels if one.contraction is not None}

    def layer(
        self, name: str, seq_len: int | None = None, *, phase: str | None = None, batch: int = 1
    ) -> Layer:
        """One of `layers`. Raises UnknownNameError."""
        layers = self.layers(seq_len, phase=phase, batch=batch)
        if name not in layers:
            raise UnknownNameError(self.name, "layer", name, layers)
        return layers[name]

    def map(
        self,
        on: Machine | str | Path = USUAL_MACHINE,
        *,
        seq_len: int | None = None,
        phase: str | None = None,
        batch: int = 1,
        objective: str = "edp",
        fuse: bool = True,
        perfect: bool = False,
        budget_s: float | None = None,
        workers: int = 1,
        store: str | Path | None = None,
        mask: str | None = None,
        progress: Progress = silent,
    ) -> Plan:
        """The proven best schedule of every operator, and what to fuse.

        objective: latency, energy, edp or dram_bytes. perfect: only factors that divide. budget_s:
        seconds for each search. workers: processes side by side, under `if __name__ ==
        "__main__"`. store: a file that keeps proven schedules for later runs. mask:
        causal or full; a schedule walks rectangles, so that either computes masked pairs too,
        and `notes` of the plan says so. Raises DoesNotFitError.
        """
        from inferstack.api.plan import Search, planned

        pairs = None if mask is None else chosen("--mask", mask, Mask, "mask")
        check_mask(self._found, pairs)
        workload = self._workload(seq_len, phase, batch)
        notes = [FULL_RECTANGLES] if workload.task is Task.PREFILL else []
        if isinstance(self._found.config, LayerSet):
            notes.append(f"layers read as {self._found.config.read_as}")
        graph = workload.graph()
        notes += getattr(self._found.config, "notes", ())
        search = Search(
            objective=objective,
            fuse=fuse,
            perfect=perfect,
            budget_s=budget_s,
            workers=workers,
            store=None if store is None else Path(store),
        )
        return planned(graph, machine_of(on), search, progress, tuple(notes))

    def optimize(
        self,
        data: Sequence[str] | str | Path,
        on: Machine | str | Path = RUN_MACHINE,
        *,
        seq_len: int = SHORT_TOKENS,
        calibrate: Sequence[str] | str | Path | None = None,
        pairs: str | Path | None = None,
        objective: str = "edp",
        check: int = 2,
        out: str | Path | None = None,
        progress: Progress = silent,
        started: Callable[[Path], None] | None = None,
        told: Callable[[str], None] | None = None,
    ) -> Result:
        """What each decision gains and costs: the model is really made, run and measured.

        data: sentences for an encoder, or the path of a file with one a line; a text for a decoder,
        which is cut into windows of `seq_len` tokens. Without `calibrate` a third of them
        calibrates and the others measure. pairs: the path of scored pairs, for the rank correlation
        of an encoder. check: sentences or windows that each row runs on the simulator, bit for bit
        compared.
        out: the folder for the integer model and the schedules; optimized/NAME where none is
        given. started: told where is kept what lets a stopped run go on. told: hears how the data
        files were read, and what weakens the result; without it the latter are warnings of
        Python. Raises DoesNotFitError, InputError.
        """
        from inferstack.api.result import optimized
        from inferstack.compress.artifact import GRAPH_FILE, VALUES_FILE
        from inferstack.core.files import STAGES
        from inferstack.models.data import read_pairs
        from inferstack.models.scenario import check_size
        from inferstack.optimize.stack import Request
        from inferstack.optimize.task import task_of
        from inferstack.report.path import check_apart, check_folder

        check_size("--seq-len", whole("--seq-len", seq_len))
        model = self._checkpoint()
        folder = Path("optimized") / self.name if out is None else Path(out)
        check_apart(folder, model)
        check_folder(folder, (GRAPH_FILE, VALUES_FILE, "statistics.json", "mappings/*"))
        task = task_of(self._found)

        def read(given: Sequence[str] | str | Path) -> tuple[str, ...]:
            if not isinstance(given, str | Path):
                return sentence_list(given)
            found, read_as = task.read(Path(given))
            if told is not None:
                told(f"{given}: read as {read_as}")
            return found

        request = Request(
            model=model,
            accelerator=machine_of(on).accelerator,
            seq_len=seq_len,
            texts=read(data),
            calibration=None if calibrate is None else read(calibrate),
            pairs=None if pairs is None else read_pairs(Path(pairs)),
            objective=objective,
            checked=check,
            folder=folder,
        )
        if weak := task.weakness(request.texts, request.calibration):
            (told or warn)(weak)
        if started is not None:
            started(folder / STAGES)
        return optimized(request, progress)

    def encoder(self, seq_len: int = SHORT_TOKENS) -> Encoder:
        """The checkpoint in floating point, ready to run on sentences. Raises CheckpointError."""
        from inferstack.api.encoder import float_encoder

        return float_encoder(self._checkpoint(), whole("--seq-len", seq_len))

    def decoder(
        self, calibrate: str | Path | None = None, *, progress: Progress = silent
    ) -> Decoder:
        """The checkpoint of a decoder, ready to run on texts; in integers alone where a text, or
        the file at a Path, gives their ranges. Raises CheckpointError, InputError."""
        from inferstack.api.decoder import loaded_decoder

        return loaded_decoder(self._found.gguf or self._checkpoint(), calibrate, progress)

    def writer(self, calibrate: str | Path | None = None, *, progress: Progress = silent) -> Writer:
        """The checkpoint of a decoder or an encoder-decoder, ready to write texts. calibrate: of a
        decoder, see `decoder`. Raises CheckpointError, InputError."""
        from inferstack.api.text_to_text import loaded_text_to_text
        from inferstack.models.gguf_file import is_gguf
        from inferstack.models.two_stacks import is_two_stacks

        folder = self._checkpoint()
        if not is_gguf(folder) and is_two_stacks(folder):
            if calibrate is not None:
                raise InputError("--calibrate", f"{self.name} has two stacks, which run in float32")
            return loaded_text_to_text(folder)
        return self.decoder(calibrate, progress=progress)

    def generate(self, prompt: str, **how: Unpack[Writing]) -> str:
        """What the model writes; see `Writer.stream`. `writer` keeps the model for several."""
        return self.writer().generate(prompt, **how)

    def classifier(self) -> Classifier:
        """The checkpoint of a ViT or a DeiT, ready to name images. Raises CheckpointError."""
        from inferstack.api.classifier import loaded_classifier

        return loaded_classifier(self._checkpoint())

    def transcriber(self) -> Transcriber:
        """The checkpoint of a Whisper, ready to hear. Raises CheckpointError."""
        from inferstack.api.transcriber import loaded_transcriber

        return loaded_transcriber(self._checkpoint())

    def quantize(
        self,
        sentences: Sequence[str] | str | Path,
        *,
        seq_len: int = SHORT_TOKENS,
        method: str = "integer-only",
    ) -> Encoder:
        """The checkpoint in integers, ready to run, with ranges from `sentences`."""
        from inferstack.optimize.tasks.sentences import weakness

        calibrating = texts(sentences)
        if weak := weakness(calibrating):
            warn(weak)
        return self.encoder(seq_len).quantized(calibrating, method=method)

    def table(self) -> RenderableType:
        """Its sizes, for rich."""
        from inferstack.report.model import to_table

        return to_table(self._found)

    def to_dict(self) -> Record:
        """Name, architecture and sizes."""
        from inferstack.report.model import to_json

        return to_json(self._found)

    def records(self) -> list[Record]:
        """A row per size."""
        return [{"size": name, "value": value} for name, value in self.to_dict()["sizes"].items()]

    def _checkpoint(self) -> Path:
        if self.folder is None:
            raise InputError(
                self.name, "is a named model without weights", need="a folder with a checkpoint",
                hint="`inferstack sample` fetches one",
            )  # fmt: skip
        return self.folder

    def _workload(self, seq_len: int | None, phase: str | None, batch: int) -> Workload:
        """The usual pass of 512 tokens unless others are asked for."""
        task = None if phase is None else chosen("--phase", phase, Task, "phase")
        if task is Task.GENERATE:
            raise InputError(
                "--phase generate",
                "is many passes of different shapes",
                need="one of encode, prefill, decode",
                hint="--phase decode maps the pass that makes the last token",
            )
        if task is None and Task.DECODE in self._found.tasks:
            task = Task.DECODE
        if seq_len is None and self._found.architecture.sees_tokens:
            seq_len = own_length(self._found) or USUAL_TOKENS
        lengths = lengths_of(seq_len)
        (workload,) = workloads(
            self._found, lengths=lengths, task=task, batch=whole("--batch", batch)
        )
        return workload


def load(name_or_folder: str | Path, *, image_size: int | None = None) -> Model:
    """A named model, the checkpoint in a Hugging Face folder (its weights are read when needed), or
    the layers of a file: CSV of SCALE-Sim, YAML of Timeloop or of ours.

    image_size: height and width in pixels, for models that see images. Raises UnknownNameError for
    a name that does not exist, CheckpointError for a folder that cannot be read.
    """
    asked = name_or_path("MODEL", name_or_folder)
    folder = isinstance(asked, Path) and not asked.is_file()
    given = f"{asked}/" if folder else str(asked)
    return Model(find_model(given, image_size=image_size))


def layers(*specs: str) -> Model:
    """Layers by themselves, such as layers("matmul:m=512,k=768,n=3072"). Raises InputError."""
    return Model(layer_model(specs))


def texts(sentences: Sequence[str] | str | Path) -> tuple[str, ...]:
    """Sentences as they are, or those of a file."""
    from inferstack.models.data import read_texts

    if not isinstance(sentences, str | Path):
        return sentence_list(sentences)
    return read_texts(Path(sentences)).sentences


def warn(text: str) -> None:
    """A warning of Python, at the caller's own line."""
    warnings.warn(text, stacklevel=3)
