"""The verbs and their entry point. Rooms are imported inside a verb, so that --help is instant.

Exit codes: 0 done; 1 failed; 2 the request was wrong; 130 interrupted by Ctrl-C and 143 by
SIGTERM, with everything saved. An error is one line on standard error.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import importlib
import itertools
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from groundup import __version__
from groundup.base.children import safe_environment, taken_from_here
from groundup.base.errors import GroundupError, UsageError, shown
from groundup.base.files import file_error
from groundup.base.openmp import wait_briefly
from groundup.base.output import UNENCODABLE, fail_safe, open_closed_streams, screened
from groundup.base.signals import Interrupted, block_saves, stops
from groundup.processes.launch import (
    ENDING,
    STARTING_APART,
    is_first,
    is_several,
    meets_alone,
    speaks,
    stay,
)

VERBS = [
    "train",
    "generate",
    "chat",
    "evaluate",
    "import_export",
    "quantize",
    "merge",
    "plan",
    "runs",
    "replay",
    "finetune",
    "instruct",
    "classify",
    "lab",
    "data",
]
"""Modules beside this one, each of which adds to `app`."""
OUTPUT = "standard output"
LONGEST_REASON = 400
"""Characters that are shown of an error that nobody foresaw."""
NUMBERS = {
    "valid integer": "a whole number, such as 1000",
    "valid number": "a number, such as 0.5",
}
"""How typer speaks of a value that is no number, and what was expected."""

Verb = TypeVar("Verb", bound=Callable[..., Any])


class Verbs(TyperGroup):
    """A group of verbs that knows what others call them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the verb that the words name, or say in one line what to write instead."""
        name = args[0]
        if name in self.commands or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from groundup.cli.suggestions import unknown_verb

        hint = unknown_verb(name, list(self.commands), ctx.command_path.partition(" ")[2])
        see = f"; see '{ctx.command_path} --help'"
        raise UsageError(hint if "--help'" in hint else hint + see)


app = typer.Typer(
    name="groundup",
    cls=Verbs,
    help="GPT-like language models from the ground up: size one, build it, train it, talk to it.",
    epilog="Begin with 'groundup train': five minutes on Shakespeare's plays. Then "
    "'groundup generate shakespeare-nano \"To be\"'. 'groundup VERB --help' explains a verb.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # panels around the help would double the time it takes
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
data_app = typer.Typer(cls=Verbs, help="Named texts, and any text made into token shards.")
app.add_typer(data_app, name="data")
finetune_app = typer.Typer(
    cls=Verbs, help="Fine-tune a model: a classifier of texts, or an assistant."
)
app.add_typer(finetune_app, name="finetune")

# What a wrong verb, flag or value raises; typer exports only its descendants.
_WrongWords: Any = typer.BadParameter.__mro__[2]
_debug = False


def _show_version(value: bool) -> None:
    if value:
        print(f"groundup {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    global _debug
    _debug = debug


def verb(group: typer.Typer, name: str) -> Callable[[Verb], Verb]:
    """Register a function as a verb."""
    return group.command(name)


def main() -> None:
    """Run the command line and exit."""
    open_closed_streams()
    with (
        contextlib.redirect_stdout(screened(fail_safe(sys.stdout, _output_lost))),
        contextlib.redirect_stderr(
            screened(fail_safe(sys.stderr, lambda error: None), always=True)
        ),
    ):
        try:
            _prepare()
            words = sys.argv[1:]
            status = _run([*words, "--help"] if words in ([], ["data"], ["finetune"]) else words)
        except Interrupted as error:  # before a verb was under way, or again while it was ending
            status = 128 + error.number
            if not is_several():
                tell("interrupted")
    sys.exit(status)


def _prepare() -> None:
    """Listen to signals, load the verbs, and print whatever the terminal can show."""
    if (module := taken_from_here()) is not None and is_first():
        tell(
            f"{module}: Python takes it for the module of that name, as it looks in this folder "
            "first; use the command groundup, or set PYTHONSAFEPATH=1"
        )
    safe = safe_environment()  # also for what libraries start, as torch.compile does
    os.environ.pop("PYTHONPATH", None)
    os.environ.update(safe)
    wait_briefly()
    for number in stops():
        signal.signal(number, _interrupt)
    block_saves()
    if not faulthandler.is_enabled():
        faulthandler.enable(2)  # where a library ends the process, it says in which line
    for verbs in VERBS:
        importlib.import_module(f"groundup.cli.{verbs}")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # what the terminal lacks is no failure
            stream.reconfigure(errors=UNENCODABLE)  # type: ignore[union-attr]


def _output_lost(error: OSError) -> None:
    raise OSError(error.errno, error.strerror, OUTPUT) from error


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted(number)  # training, once under way, stops at the end of a step instead


def _run(words: list[str]) -> int:
    """Run a verb; return the exit code, having printed the one line of an error."""
    global _debug
    _debug = False
    try:
        status = _command()(words, prog_name="groundup", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except BrokenPipeError as error:
        return _broken_pipe(error)
    except SystemExit as end:  # so typer and rich leave then
        if isinstance(end.__context__, BrokenPipeError):
            return _broken_pipe(end.__context__)
        raise
    except _WrongWords as error:
        _tell_once(_unparsed(error, words), error)
        return 2
    except (Interrupted, KeyboardInterrupt) as error:
        number = int(error.args[0] if error.args else signal.SIGINT)
        return _interrupted(number, words)
    except Exception as error:
        message, status = _explained(error)
        if _debug:
            traceback.print_exc()
        else:
            _tell_once(message, error)
        if isinstance(error, GroundupError) and error.leaves_at_once:
            os._exit(status)
        return status


def _tell_once(message: str, error: Exception) -> None:
    """Print the line of an error, unless another process of a training says the same."""
    said, known, gone = (
        getattr(error, name, False) for name in ("is_said", "known_to_all", "leaves_at_once")
    )
    before = is_several() and "groundup.processes.distributed" not in sys.modules  # they have met
    if said or (before and not meets_alone()) or (known and not gone and not speaks()):
        return
    tell(message)
    if before or known:
        stay(STARTING_APART if before else ENDING)


def _interrupted(number: int, words: list[str]) -> int:
    """Say that a signal has ended a verb, which several processes say once; return the code."""
    resumes = {"train", "resume", "prepare", "evaluate", "lab", "finetune"} & set(words)
    remedy = "; the same command goes on where it stopped" if resumes else ""
    is_told = is_several() and number == signal.SIGTERM
    why = ", as a launcher does to all where one has ended" * is_told
    if speaks():
        tell(f"interrupted{why}{remedy}")
        stay()
    if is_several():  # what it waited for in a library may be gone
        sys.stdout.flush()
        os._exit(128 + number)
    return 128 + number


def _broken_pipe(error: BrokenPipeError) -> int:
    """Return 0 where the reader of our output has gone, as in `... | head`: it has seen enough."""
    if error.filename == OUTPUT:
        return 0
    message, status = _explained(error)
    tell(message)
    return status


@functools.cache
def _command() -> Any:
    """Return the verbs as one command; whoever calls several in a process makes it once."""
    return typer.main.get_command(app)


def _unparsed(error: Any, words: list[str]) -> str:
    """Return the line for words that no verb has been able to read."""
    context = getattr(error, "ctx", None)
    message = error.format_message().rstrip(".")
    if context is not None and hasattr(error, "possibilities"):  # a flag that is not there
        from groundup.cli.suggestions import unknown_flag

        message = unknown_flag(_flag_given(error.option_name, words), context)
    elif expected := next((one for kind, one in NUMBERS.items() if kind in message), None):
        message = f"{_value_given(error.param.opts, words)}: expected {expected}"
    elif extra := re.search(r"extra arguments?(?:\(s\))? \((.*)\)", message, re.DOTALL):
        message = f"{extra[1] or repr('')}: one word too many; put quotes around words that are one"
        if words[:1] == ["finetune"]:
            message += ", and give records by --records FILE"
    return f"{message}; see '{context.command_path} --help'" if context else message


def _flag_given(name: str, words: list[str]) -> str:
    """Return the word that an unknown flag was read from: -help is taken for -h -e -l -p."""
    begins = [word for word in words if word.startswith(name)]
    holds = [word for word in words if re.match("-[^-]", word) and name[1] in word]
    return [*begins, *holds, name][0].partition("=")[0]


def _value_given(flags: list[str], words: list[str]) -> str:
    """Return a flag and its value as they were written."""
    for word, following in itertools.pairwise([*words, ""]):
        if word in flags:
            return shown(f"{word} {following}")
        if word.startswith(tuple(f"{flag}=" for flag in flags)):
            return shown(word)
    return flags[0]


def _explained(error: Exception) -> tuple[str, int]:
    """Return the line and the exit code for an error that ended a verb."""
    if isinstance(error, GroundupError):
        return str(error), error.exit_status
    kind = type(error).__name__
    if kind in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in str(error):
        return "out of memory; a smaller batch_size or context_length needs less", 1
    if isinstance(error, OSError):
        if error.filename == OUTPUT:
            return f"{OUTPUT}: {error.strerror}; send it to another place", 1
        return str(file_error(Path(error.filename or "a file"), error)), 1
    reason = (
        f"{kind}: {shown(' '.join(str(error).split()), LONGEST_REASON)}" if str(error) else kind
    )
    return f"unexpected {reason}; 'groundup --debug ...' shows where it happened", 1


def tell(message: str) -> None:
    """Print one line to standard error, whatever stands in `message`."""
    print(f"groundup: {' '.join(message.split())}", file=sys.stderr)
