"""The verbs and their entry point. Rooms are imported inside a verb, so that --help is instant.

Exit codes: 0 done; 1 failed; 2 the request was wrong; 130 interrupted by Ctrl-C and 143 by
SIGTERM, with everything saved.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from groundup import __version__
from groundup.base.errors import GroundupError

Verb = TypeVar("Verb", bound=Callable[..., Any])

app = typer.Typer(
    name="groundup",
    help="GPT-like language models from the ground up: size one, build it, train it, talk to it.",
    epilog="Begin with: groundup train",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(
    help="Named texts, and any text made into token shards.", no_args_is_help=True
)
app.add_typer(data_app, name="data")

_debug = False


def _show_version(value: bool) -> None:
    if value:
        print(f"groundup {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    global _debug
    _debug = debug


def verb(group: typer.Typer, name: str) -> Callable[[Verb], Verb]:
    """Register a function as a verb whose errors end as one line and an exit code."""

    def register(function: Verb) -> Verb:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            try:
                function(*args, **kwargs)
                sys.stdout.flush()
            except GroundupError as error:
                if _debug:
                    raise
                fail(str(error), error.exit_status)
            except KeyboardInterrupt:
                fail("interrupted; the same command goes on where it stopped", 130)
            except BrokenPipeError:  # the reader of our output has gone, as in `... | head`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            except MemoryError:
                fail("out of memory; a smaller batch_size or context_length needs less", 1)

        group.command(name)(guarded)
        return function

    return register


def fail(message: str, status: int) -> NoReturn:
    """Print one line to standard error and exit."""
    print(f"groundup: {' '.join(message.split())}", file=sys.stderr)
    raise typer.Exit(status)


def main() -> None:
    """Run the command line."""
    # Registered here, after `app` exists: each module adds its verbs to it.
    from groundup.cli import data, plan, runs, train, write  # noqa: F401

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app()
