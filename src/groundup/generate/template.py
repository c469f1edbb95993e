"""A chat template: a conversation, of roles and words, as the one text that a model was taught."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from groundup.base.children import run_python
from groundup.base.errors import RunError, UsageError
from groundup.tokenizer import Tokenizer

PROGRAM = Path(__file__).with_name("jinja_process.py")

TIMEOUT = 10.0
"""Seconds to wait for that program; its own limits end it sooner, unless the machine is busy."""

LARGEST_TEMPLATE = 1 << 18
"""Characters; published ones take up to some 30,000."""

ANSWER = "The answer-4b1d."
"""An assistant's words that no template writes by itself."""

Message = dict[str, str]
"""A `role`, one of system, user and assistant, and the `content`."""


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

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """Return the conversation as one text, up to where the assistant begins to speak."""
        if len(self.source) > LARGEST_TEMPLATE:
            size = f"{len(self.source):,} characters, more than {LARGEST_TEMPLATE:,}"
            raise self._error(f"it is {size}")
        named = {"bos_token": self.bos_token, "eos_token": self.eos_token}
        values = {
            **{name: token for name, token in named.items() if token is not None},
            **self.special_tokens,
            "messages": messages,
            "add_generation_prompt": add_generation_prompt,
            "tools": None,
            "documents": None,
        }
        text = self._answered(json.dumps({"template": self.source, "values": values}))
        if not text:
            raise self._error("it writes nothing")
        return text

    def encode(self, tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
        """Return the conversation's token ids; a special token in a message stays plain text."""
        safe = [message | {"content": tokenizer.defuse(message["content"])} for message in messages]
        return tokenizer.encode_markup(self.render(safe))

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
        behind = text.partition(ANSWER)[2].lstrip()
        found = [name for name in tokenizer.added_tokens if behind.startswith(name)]
        return [tokenizer.added_tokens[max(found, key=len)]] if found else []

    def _answered(self, request: str) -> str:
        try:
            done = run_python(str(PROGRAM), input=request, encoding="ascii", timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            raise self._error("it does not come to an end") from None
        if done.returncode == -getattr(signal, "SIGPROF", 0):
            raise self._error("it does not come to an end")
        if done.returncode:
            raise self._error(f"its process broke down (exit {done.returncode})")
        answer: dict[str, str] = json.loads(done.stdout)
        if "error" in answer:
            raise self._error(answer["error"])
        if "refusal" in answer:
            raise UsageError(f"the chat template refuses the messages: {_plain(answer['refusal'])}")
        return answer["text"]

    def _error(self, reason: str) -> RunError:
        return RunError(f"the chat template cannot be used: {_plain(reason)}; correct or remove it")


def _plain(reason: str) -> str:
    """Return what a template says as one line that does nothing to a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in reason).split())
