"""The program that renders a chat template: a process of its own that can do nothing else.

A template is a program by somebody else. The sandbox keeps it from reaching Python; that it neither
runs nor grows without end no sandbox can promise, as one filter or operator may take hours or
gigabytes. So the operating system holds the limits: processor time, memory, no file to open.

Reads a line of JSON, {"template", "values"}, and one more for each text to be rendered: the values
that are its own. Writes a line for each, {"text"}, {"refusal"} or {"error"}; the first that is no
text is the last. How many texts there are is its argument: it bounds what all of them may take.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import cache, partial
from typing import Any

from jinja2 import Environment, Template, TemplateError, nodes
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

SECONDS = 0.4
"""Of processor time for one text; a usual template needs a hundredth of it."""

SECONDS_EACH = 0.02
"""Of processor time that many texts may take on average, beside those for one."""

MEMORY = 256 << 20
"""Bytes of address space; the interpreter alone takes some 30 MiB."""

LONGEST_TEXT = 8 << 20
"""Characters that a template may write: more than any model's context holds."""

LONGEST_EACH = 1 << 16
"""Characters that many texts may have on average, beside those for one and what is in messages."""

WARM_UP = ("{{ 'a' | wordwrap }}{{ strftime_now('%d %b %Y') }}", "{{ nothing.at_all }}")
"""Templates that have Python and jinja2 load what they load late, while they still can."""


class Generation(Extension):
    """`{% generation %}` marks an assistant's words for training; here they are only written."""

    tags = {"generation"}  # noqa: RUF012  declared so by jinja2

    def parse(self, parser: Parser) -> nodes.Node:
        """Return the statements up to `{% endgeneration %}`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class RefusedError(TemplateError):
    """What a template says of messages that it has no form for."""


def chat_environment() -> Environment:
    """Return what the templates of published models count on."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, LoopControlExtension]
    )
    environment.filters["tojson"] = _as_json
    del environment.globals["lipsum"]
    environment.globals |= {"raise_exception": _refuse, "strftime_now": datetime.now().strftime}
    return environment


def _as_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """Write JSON; jinja2's own filter would escape for a web page."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _refuse(message: str) -> None:
    raise RefusedError(message)


def set_limits() -> None:
    """Give up what rendering does not need; past a limit the process ends, or lacks memory."""
    with contextlib.suppress(ImportError):  # Windows has neither; the caller's clock still runs
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    set_timer(SECONDS)


def set_timer(seconds: float) -> None:
    """End the process after so much more of processor time."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, max(seconds, 1e-3))  # 0 would be no limit


def parsed(source: str) -> Template:
    """Return a template, ready to render."""
    return chat_environment().from_string(source)


def answer(template: Callable[[], Template], values: dict[str, Any]) -> dict[str, str]:
    """Render a text; whatever goes wrong is returned in words."""
    try:
        text = template().render(values)
    except MemoryError:
        return {"error": f"it needs more than {MEMORY >> 20} MiB"}
    except RefusedError as refusal:
        return {"refusal": str(refusal)[:200]}
    except Exception as error:
        return {"error": str(error)[:200] or type(error).__name__}
    if len(text) > LONGEST_TEXT:
        return {"error": f"it writes {len(text):,} characters, more than {LONGEST_TEXT:,}"}
    return {"text": text}


def answer_all(n_texts: int) -> None:
    """Render what standard input asks for, each text within its limits and all within theirs."""
    head = json.loads(sys.stdin.readline())
    template = cache(partial(parsed, head["template"]))
    until = time.process_time() + SECONDS + n_texts * SECONDS_EACH
    room = LONGEST_TEXT + n_texts * LONGEST_EACH
    for line in sys.stdin:
        set_timer(min(SECONDS, until - time.process_time()))
        answered = answer(template, {**head["values"], **json.loads(line)})
        room += 2 * len(line) - len(answered.get("text", ""))
        if room < 0:
            answered = {"error": "it writes far more than the messages hold"}
        sys.stdout.write(json.dumps(answered) + "\n")
        sys.stdout.flush()  # what ends this process leaves what is done
        if "text" not in answered:
            return


if __name__ == "__main__":
    for source in WARM_UP:
        answer(partial(parsed, source), {})
    set_limits()
    answer_all(int(sys.argv[1]))
