"""`inferstack`: the guide, the dispatch to one verb, and the one place where errors end.

Exit codes: 0 done; 1 infeasible, out of memory or a failed check; 2 wrong input; 70 a bug of ours;
130 interrupted; 141 nobody reads what is printed (`| head`). Standard output carries data only;
everything else goes to stderr.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from inferstack import __version__
from inferstack.cli.completion import called_verb
from inferstack.cli.console import ClosedPipeError, Session
from inferstack.core.errors import InferStackError
from inferstack.core.infeasible import DoesNotFitError
from inferstack.core.text import message_part

if TYPE_CHECKING:
    from typer import Typer

    from inferstack.cli.verbs import Verb

EXIT_DOES_NOT_FIT = 1
EXIT_WRONG_INPUT = 2
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141
"""What the shell gives for a program that nobody reads from: 128 + SIGPIPE."""

GUIDE = """Full-stack optimization of Transformer inference: from a checkpoint to accuracy, cycles,
energy and hardware, with what each decision gained and what it cost.

\b
A first quarter of an hour:
  inferstack doctor                                   what is installed here
  inferstack sample                                   fetch a real checkpoint
  inferstack analyze bert-base --seq-len 128,512      what a model asks for
  inferstack map bert-base --seq-len 512              its proven best schedules, fused
  inferstack optimize samples/all-MiniLM-L6-v2 --on gemmini --seq-len 128 \\
      --data data/sentences.txt --report report.html  what each decision gains

Data goes to stdout, narration and progress to stderr. Exit code 0: done. 1: it does not fit, or
a check failed. 2: wrong input, with a message that says what to change. `inferstack VERB --help`
explains a verb; `inferstack --install-completion` completes verbs and names with the Tab key.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    session = Session(quiet=_take("--quiet", arguments), debug=_take("--debug", arguments))
    try:
        # The version is ahead of every import of weight: scripts ask for it often.
        version = arguments == ["--version"]
        code = _version() if version else _dispatch(arguments or ["--help"], session)
        sys.stdout.flush()
    except (BrokenPipeError, ClosedPipeError):
        _abandon_stdout()
        return EXIT_CLOSED_PIPE
    except DoesNotFitError as error:
        return _fail(error.message(), error.exit_code, session, "infeasible")
    except InferStackError as error:
        return _fail(error.message(), error.exit_code, session)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except MemoryError as error:
        return _fail(_out_of_memory(error), EXIT_DOES_NOT_FIT, session)
    except OSError as error:
        where = error.filename or "the operating system"
        return _fail(f"{message_part(where)}: {error.strerror or error}", EXIT_WRONG_INPUT, session)
    except Exception as error:  # noqa: BLE001 - the last boundary: no user sees a traceback unasked
        return _report_bug(error, session)
    if code == EXIT_INTERRUPTED:
        _say(_interrupted(session))
    return code


def _version() -> int:
    print(f"inferstack {__version__}")
    return 0


def _open_closed_streams() -> None:
    """A stream that the caller closed (`>&-`) is None in Python: what is written goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _say(text: str) -> None:
    """A line on stderr; where even that cannot be written, the exit code has to do."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _take(flag: str, arguments: list[str]) -> bool:
    """Removes a flag that may stand anywhere before `--`, and says whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [argument for argument in arguments[:end] if argument != flag]
    found = len(kept) < end
    arguments[:end] = kept
    return found


def _dispatch(arguments: list[str], session: Session) -> int:
    # numpy's threads wait for each other by spinning: on two cores that others use too, 60
    # sentences of MiniLM take 32 to 38 s with two threads and 12 to 17 s with one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import typer

    from inferstack.cli.verbs import discover_verbs

    asked = called_verb()
    app = build_app(discover_verbs(), arguments[0] if asked is None else asked)
    command = typer.main.get_command(app)
    try:
        command.main(args=arguments, prog_name="inferstack", obj=session)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    return 0


def build_app(verbs: Sequence[Verb], called: str) -> Typer:
    """The application. Only the verb named `called` is imported; the others lend their summary."""
    import typer

    app = typer.Typer(
        add_completion=True,
        rich_markup_mode=None,
        help=GUIDE,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )

    @app.callback()
    def options(
        version: bool = typer.Option(False, "--version", is_eager=True, help="Print the version."),
        quiet: bool = typer.Option(False, "--quiet", help="Neither narration nor progress bars."),
        debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    ) -> None:
        if version:
            print(f"inferstack {__version__}")
            raise typer.Exit
        # main() has taken --quiet and --debug already; here they are only explained.
        del quiet, debug

    for verb in verbs:
        if verb.name == called:
            verb.load().register(app)
        else:
            app.command(verb.name, help=verb.summary)(_never_called)
    return app


def _never_called() -> None:
    raise AssertionError("a verb that was not loaded cannot run")


def _fail(message: str, code: int, session: Session, what: str = "error") -> int:
    if session.debug:
        import traceback

        traceback.print_exc()
    _abandon_stdout_if_broken()
    _say(f"{what}: {message}")
    return code


def _out_of_memory(error: MemoryError) -> str:
    reason = str(error) or "no more memory could be had"
    return f"out of memory: {reason}\n\nhint: a shorter --seq-len or fewer sentences need less"


def _interrupted(session: Session) -> str:
    if not session.files:
        return "interrupted: no file was finished"
    return "interrupted: these files are complete and kept: " + ", ".join(map(str, session.files))


def _report_bug(error: Exception, session: Session) -> int:
    """A short message; the traceback goes to a file, or to stderr with --debug."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    summary = f"error: a bug in inferstack {__version__}, not in your input: {type(error).__name__}"
    summary += f": {error}" if str(error) else ""
    if session.debug:
        _say(text)
        _say(summary)
        return EXIT_BUG
    hint = "the same command with --debug shows where"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="inferstack-bug-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        hint = f"the traceback is in {file.name}; {hint}"
    except OSError:
        # A full disk must not hide the first error behind a second one.
        pass
    _say(f"{summary}\n\nhint: {hint}")
    return EXIT_BUG


def _abandon_stdout() -> None:
    """Nothing more can be written to stdout; what is buffered must not fail again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _abandon_stdout_if_broken() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _abandon_stdout()


if __name__ == "__main__":
    sys.exit(main())
