"""A chat template: a conversation, of roles and words, as the one text that a model was taught."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from groundup.base.children import run_python
from groundup.base.errors import RunError, UsageError
from groundup.base.files import temporary_file
from groundup.tokenizer import Tokenizer

if TYPE_CHECKING:
    from groundup.data.dialogue import Message  # what lies beside it takes 70 ms

PROGRAM = Path(__file__).with_name("jinja_process.py")

CHATML = Path(__file__).with_name("chatml.jinja").read_text(encoding="utf-8")
"""The template of ours for a model that has none: turns as in ChatML, behind what begins a text."""
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
"""The special tokens that it writes; `with_special_tokens` gives a tokenizer those it lacks."""

TIMEOUT, TIMEOUT_EACH = 60.0, 0.1
"""Seconds to wait for that program, and as many more for each text.

Its own limits are of processor time and end it sooner. On a busy machine its start alone may take
many seconds, which is no fault of the template.
"""

LARGEST_TEMPLATE = 1 << 18
"""Characters; published ones take up to some 30,000."""

ANSWER = "The answer-4b1d."
"""An assistant's words that no template writes by itself."""

Dialogue = Sequence["Message"]
Name = Callable[[int], str]
"""Says what the n-th of many dialogues, from 0, is called in an error."""


def numbered(n: int) -> str:
    """Call a dialogue by its place, from 1."""
    return f"dialogue {n + 1}"


@dataclass(frozen=True)
class ChatTemplate:
    """A Hugging Face chat template (Jinja), which anybody may have written.

    `bos_token` and `eos_token` are the names of the special tokens that it may write by these
    words, `special_tokens` those that it may write by others (`pad_token` …). As in transformers, a
    word without a token is undefined: it writes nothing, and nothing can be added to it. A template
    that fails, or takes too much time or memory, is a one-line `RunError`; messages that it has no
    form for (another role, another order) are a `UsageError`.
    """

    source: str
    bos_token: str | None = None
    eos_token: str | None = None
    special_tokens: Mapping[str, str] = field(default_factory=dict)

    def render(self, messages: Dialogue, *, add_generation_prompt: bool = True) -> str:
        """Return the conversation as one text, up to where the assistant begins to speak."""
        (text,) = self.rendered([messages], lambda n: "", add_generation_prompt)
        return text

    def render_all(
        self,
        dialogues: Iterable[Dialogue],
        *,
        add_generation_prompt: bool = False,
        name: Name = numbered,
    ) -> list[str]:
        """Return each dialogue as one text; one process renders all of them.

        It may take 0.4 s of processor time for each, and 0.02 s on average. Where one cannot be
        rendered, the error says which by `name`.
        """
        return list(self.rendered(dialogues, name, add_generation_prompt))

    def rendered(
        self,
        dialogues: Iterable[Dialogue],
        name: Name = numbered,
        add_generation_prompt: bool = False,
    ) -> Iterator[str]:
        """Yield what `render_all` returns, without ever holding all of it."""
        if len(self.source) > LARGEST_TEMPLATE:
            size = f"{len(self.source):,} characters, more than {LARGEST_TEMPLATE:,}"
            raise self._error(f"it is {size}")
        named = {"bos_token": self.bos_token, "eos_token": self.eos_token}
        values = {
            **{key: token for key, token in named.items() if token is not None},
            **self.special_tokens,
            "add_generation_prompt": add_generation_prompt,
            "tools": None,
            "documents": None,
        }
        head = {"template": self.source, "values": values}
        requests = ({"messages": list(messages)} for messages in dialogues)
        for n, answered in enumerate(self._answered(chain([head], requests), name)):
            yield self._text(answered, name(n))

    def encode(self, tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
        """Return the conversation's token ids; a special token in a message stays plain text."""
        return tokenizer.encode_markup(self.render(plain_dialogue(messages, tokenizer)))

    def before_reply(self, question: Dialogue) -> tuple[str, str]:
        """Return what stands before a reply where it is asked for, and where it is given.

        Both from where they part, and without white space around: for most templates nothing.
        `question` are messages up to one of the user.
        """
        asked = self.render(question)
        whole = self.render(
            [*question, {"role": "assistant", "content": ANSWER}], add_generation_prompt=False
        )
        given = whole.partition(ANSWER)[0]
        pairs = enumerate(zip(asked, given, strict=False))
        n = next((n for n, (one, other) in pairs if one != other), min(len(asked), len(given)))
        return asked[n:].strip(), given[n:].strip()

    def turn_ends(self, tokenizer: Tokenizer) -> list[int]:
        """Return the id of the special token that the template writes behind an assistant's words.

        None where it writes no such token, or has no form for a question, an answer and a question.
        """
        contents = {"user": "question", "assistant": ANSWER}
        talk = [{"role": role, "content": contents[role]} for role in ("user", "assistant", "user")]
        try:
            text = self.render(talk)
        except (RunError, UsageError):  # said as soon as it has to render what the user says
            return []
        found = leading_token(tokenizer).match(text.partition(ANSWER)[2])
        return [tokenizer.added_tokens[found[1]]] if found else []

    def _answered(self, requests: Iterable[dict[str, Any]], name: Name) -> Iterator[dict[str, str]]:
        """Yield what the program answers to each request behind the first, in its process."""
        with (
            temporary_file("w+", encoding="ascii") as asked,
            temporary_file("w+", encoding="ascii") as answers,
        ):
            n_texts = -1
            for request in requests:
                print(json.dumps(request), file=asked)
                n_texts += 1
            asked.seek(0)
            broken = self._run(n_texts, asked, answers) if n_texts else None
            answers.seek(0)
            n_answers = 0
            for line in answers:
                if line.endswith("\n"):
                    n_answers += 1
                    yield json.loads(line)
            if n_answers < n_texts:
                raise self._error(broken or "its process stopped", name(n_answers))

    def _run(self, n_texts: int, asked: IO[str], answers: IO[str]) -> str | None:
        """Run the program; return what kept it from its end."""
        files: dict[str, Any] = {"stdin": asked, "stdout": answers, "stderr": subprocess.DEVNULL}
        timeout = TIMEOUT + n_texts * TIMEOUT_EACH
        try:
            done = run_python(
                str(PROGRAM), str(n_texts), capture_output=False, timeout=timeout, **files
            )
        except subprocess.TimeoutExpired:
            return f"it does not come to an end in {timeout:.0f} s (if the machine is busy, retry)"
        if done.returncode == -getattr(signal, "SIGPROF", 0):
            return "it does not come to an end"
        return f"its process broke down (exit {done.returncode})" if done.returncode else None

    def _text(self, answered: dict[str, str], name: str) -> str:
        if "error" in answered:
            raise self._error(answered["error"], name)
        if "refusal" in answered:
            refused = f"the chat template refuses the messages: {_plain(answered['refusal'])}"
            raise UsageError(f"{name}: {refused}" if name else refused)
        if not answered["text"]:
            raise self._error("it writes nothing", name)
        return answered["text"]

    def _error(self, reason: str, name: str = "") -> RunError:
        unusable = f"the chat template cannot be used: {_plain(reason)}; correct or remove it"
        return RunError(f"{name}: {unusable}" if name else unusable)


def plain_dialogue(messages: Dialogue, tokenizer: Tokenizer) -> list[Message]:
    """Return messages in whose contents no special token counts, for a template to write."""
    return [message | {"content": tokenizer.defuse(message["content"])} for message in messages]


def leading_token(tokenizer: Tokenizer) -> re.Pattern[str]:
    """Return what finds the special token that a text begins with, behind white space or not."""
    names = sorted(tokenizer.added_tokens, key=len, reverse=True)
    return re.compile(rf"\s*({'|'.join(map(re.escape, names)) or '(?!)'})")


def _plain(reason: str) -> str:
    """Return what a template says as one line that does nothing to a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in reason).split())
