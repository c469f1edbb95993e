"""`groundup chat`: talking with a model in turns, and the commands that the user has meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.base.errors import GroundupError, UsageError, nearest, shown
from groundup.base.files import write_text
from groundup.base.signals import Interrupted
from groundup.cli.app import app, tell, verb
from groundup.cli.options import (
    SAMPLING,
    Compiled,
    Device,
    System,
    Which,
    load_run,
    sampling_line,
    takes,
)
from groundup.cli.prompt import QUOTES, Command, Keyboard, Lines, Pipe, read_turn
from groundup.cli.run_names import Run
from groundup.cli.standard_io import show
from groundup.config.other_names import by_other_name

if TYPE_CHECKING:
    from groundup.generate import Chat, Conversation


@verb(app, "chat")
@takes(SAMPLING, before="checkpoint")
def chat(
    run: Run,
    system: System = "",
    *,
    checkpoint: Which = "best",
    device: Device = "cpu",
    compiled: Compiled = False,
    **sampling: Any,
) -> None:
    """Talk with a model in turns; /help lists the commands.

    Standard input may be piped, a line or a command a turn.
    """
    loaded = load_run(run, checkpoint, device, compiled)
    from groundup.generate import open_chat

    talk = open_chat(loaded, system=system, **sampling)
    if loaded.chat_template is None:
        tell(f"{run} has no chat template: it continues text instead of answering.")
    _say(f"{sampling_line(loaded, talk.sampling, sampling)}; /set changes it")
    Session(talk).run()


class Session:
    """A chat from its first line to its last: reads turns and commands, and shows answers.

    At a terminal an error is shown and the chat goes on; in a pipe the first one ends it.
    """

    def __init__(self, talk: Chat | Conversation) -> None:
        from groundup.generate import Conversation

        self.talk = talk
        self.answers = isinstance(talk, Conversation)
        self.at_terminal = sys.stdin.isatty()

    def run(self) -> None:
        """Take turns until the input ends, or `/bye`."""
        lines: Lines = Keyboard() if self.at_terminal else Pipe()
        if self.at_terminal:
            _say(("" if self.answers else "An empty line lets it go on. ") + HOW_TO_END)
        interrupted = False
        while True:
            try:
                if interrupted:
                    _say("\n" + HOW_TO_END)
                    interrupted = False
                self._handle(read_turn(lines))
            except EOFError:
                break
            except Interrupted as error:
                self._only_ctrl_c(error)
                interrupted = True
            except GroundupError as error:
                if not self.at_terminal:
                    raise
                tell(str(error))
        if self.at_terminal:
            _say("")

    def _only_ctrl_c(self, error: Interrupted) -> None:
        """Raise what is more than a key that was pressed at this chat."""
        if not self.at_terminal or error.number != signal.SIGINT:
            raise error

    def _handle(self, turn: str | Command) -> None:
        if isinstance(turn, Command):
            self._run_command(turn)
        elif turn or not self.answers:
            self._write(lambda: self.talk.say(turn))

    def _write(self, ask: Callable[[], Iterator[str]]) -> None:
        """Show an answer as it comes; Ctrl-C ends it, and what is there by then is kept."""
        forgotten = self.talk.forgotten
        try:
            pieces = ask()
            if self.talk.forgotten > forgotten:
                tell("the context is full; the oldest turns are forgotten")
            show(pieces)
        except Interrupted as error:
            self._only_ctrl_c(error)
            print()

    def _run_command(self, command: Command) -> None:
        if command.name not in COMMANDS:
            hint = nearest(f"/{command.name}", [f"/{name}" for name in COMMANDS], OTHER_NAMES)
            raise UsageError(
                f"no command '/{shown(command.name)}' (type // to begin a text with /); {hint}"
            )
        takes, _, run = COMMANDS[command.name]
        if command.text and not takes:
            raise UsageError(f"/{command.name} {shown(command.text)}: the command takes nothing")
        if not command.text and takes and not takes.startswith("["):
            raise UsageError(f"/{command.name}: expected {takes} behind it")
        run(self, command.text)

    def help(self, text: str) -> None:
        """List the commands."""
        rows = [(f"/{name} {takes}", what) for name, (takes, what, _) in COMMANDS.items()]
        width = shutil.get_terminal_size().columns
        for typed, what in [*rows, *OTHERS]:
            _say(textwrap.fill(f"{typed:<18} {what}", width, subsequent_indent=" " * 19))

    def bye(self, text: str) -> None:
        """End the chat as Ctrl-D does."""
        raise EOFError

    def clear(self, text: str) -> None:
        """Begin anew."""
        self.talk.clear()
        system = " but the system message" if getattr(self.talk, "system", []) else ""
        _say(f"All{system} is forgotten.")

    def retry(self, text: str) -> None:
        """Write the last answer anew."""

        def ask() -> Iterator[str]:
            pieces = self.talk.retry()  # an error where nothing was asked yet
            if self.talk.sampling.temperature == 0:
                tell("at temperature 0 the same question gets the same answer; see /set")
            return pieces

        self._write(ask)

    def system(self, text: str) -> None:
        """Set the system message."""
        self.talk.set_system(text)
        _say("From now on that is the system message.")

    def set(self, text: str) -> None:
        """Change a setting, or show them."""
        from groundup.generate.chat import CHANGEABLE

        name, _, typed = text.replace("=", " ").partition(" ")
        if name:
            self.talk.change(name, typed.strip())
        for setting in [name] if name else CHANGEABLE:
            value = getattr(self.talk.sampling, setting)
            _say(f"{setting} {'new each time' if value is None else value}")

    def save(self, text: str) -> None:
        """Write the conversation as JSON, or the text, to a file that is not there yet."""
        from groundup.generate import Conversation

        if isinstance(self.talk, Conversation):
            messages, suffix = self.talk.transcript, ".json"
            written = json.dumps({"messages": messages}, ensure_ascii=False) + "\n"
            what = f"{len(messages)} messages"
        else:
            written, suffix = self.talk.text, ".txt"
            what = f"{len(written):,} characters"
        path = Path(os.path.expanduser(text))  # noqa: PTH111 - pathlib's fails without a home
        if not path.suffix and not path.is_dir():
            path = path.with_name(path.name + suffix)
        if os.path.lexists(path):
            raise UsageError(f"/save: {shown(str(path))} exists; choose another name")
        write_text(path, written)
        _say(f"Saved {what} as {path}")


COMMANDS: dict[str, tuple[str, str, Callable[[Session, str], None]]] = {
    "help": ("", "lists the commands", Session.help),
    "bye": ("", "ends the chat, as Ctrl-D does", Session.bye),
    "clear": ("", "forgets all but the system message", Session.clear),
    "retry": ("", "answers the last question again, from another seed", Session.retry),
    "system": ("TEXT", "says who the model is to be", Session.system),
    "set": ("[NAME VALUE]", "changes how it writes, as /set temperature 0.7", Session.set),
    "save": ("FILE", "writes the conversation to a new file", Session.save),
}
"""What each takes, in brackets where it may be left out; what it does, and by which method."""
OTHER_NAMES = by_other_name(
    {
        "/help": "h commands usage",
        "/bye": "exit quit q end stop close",
        "/clear": "reset new forget restart",
        "/retry": "regen regenerate again redo",
        "/system": "sys role persona",
        "/set": "settings show config params parameters temperature temp top_k top_p seed",
        "/save": "export write",
    }
)
"""What other chats call these."""
OTHERS = [
    (QUOTES, f"begins a text of several lines, up to the next {QUOTES}"),
    ("//", "begins a text with one /"),
    ("Ctrl-C", "ends an answer; what is written stays"),
]
HOW_TO_END = "Ctrl-D or /bye ends the chat; /help lists the commands."


def _say(line: str) -> None:
    """Print to standard error what is no answer; at a terminal, no word is cut at its edge."""
    width = shutil.get_terminal_size().columns
    if sys.stderr.isatty() and max(map(len, line.split("\n"))) > width:
        line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
    print(line, file=sys.stderr)
