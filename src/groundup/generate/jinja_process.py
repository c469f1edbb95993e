"""The program that renders a chat template: a process of its own that can do nothing else.

A template is a program by somebody else. The sandbox keeps it from reaching Python; that it neither
runs nor grows without end no sandbox can promise, as one filter or operator may take hours or
gigabytes. So the operating system holds the limits: processor time, memory, no file to open.

Reads one JSON object, {"template", "values"}; writes one, {"text"}, {"refusal"} or {"error"}.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from datetime import datetime
from typing import Any

from jinja2 import Environment, TemplateError, nodes
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

SECONDS = 0.4
"""Of processor time; a usual template needs a hundredth of it."""

MEMORY = 256 << 20
"""Bytes of address space; the interpreter alone takes some 30 MiB."""

LONGEST_TEXT = 8 << 20
"""Characters that a template may write: more than any model's context holds."""


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
        signal.setitimer(signal.ITIMER_PROF, SECONDS)


def answer(request: dict[str, Any]) -> dict[str, str]:
    """Render one template; whatever goes wrong is returned in words."""
    try:
        text = chat_environment().from_string(request["template"]).render(request["values"])
    except MemoryError:
        return {"error": f"it needs more than {MEMORY >> 20} MiB"}
    except RefusedError as refusal:
        return {"refusal": str(refusal)[:200]}
    except Exception as error:
        return {"error": str(error)[:200] or type(error).__name__}
    if len(text) > LONGEST_TEXT:
        return {"error": f"it writes {len(text):,} characters, more than {LONGEST_TEXT:,}"}
    return {"text": text}


if __name__ == "__main__":
    request = json.load(sys.stdin)
    for template in WARM_UP:
        answer({"template": template, "values": {}})
    set_limits()
    json.dump(answer(request), sys.stdout)
