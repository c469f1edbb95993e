"""A judge on this machine: an OpenAI-style endpoint in a thread, with a mind of a test's own."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from groundup.evaluate.endpoint import Endpoint

Mind = Callable[[str], str]
"""Answers a prompt."""


@dataclass
class Judge:
    """What a judge was sent, and how it answers; `states` are sent first, an HTTP state each."""

    mind: Mind
    states: list[int] = field(default_factory=list)
    models: tuple[object, ...] = ("wise",)
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with an answer that is no 200."""
    raw: bytes | None = None
    """Sent in place of an answer."""
    plain: bytes | None = None
    """Sent in place of all, HTTP's head too."""
    pause: float = 0.0
    """Seconds before each byte of an answer, or of what is plain, if any."""
    hangs: bool = False
    url: str = ""
    paths: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][0]["content"] for body in self.bodies]

    def endpoint(self, **changes: Any) -> Endpoint:
        """Return this judge as the code under test sees it; it notes waits and does not wait."""
        values: dict[str, Any] = {"url": self.url, "asked_model": "wise", "timeout": 5.0}
        return Endpoint(**values | {"sleep": self.waits.append} | changes)


@contextlib.contextmanager
def judging(mind: Mind = lambda prompt: "Verdict: tie", **settings: Any) -> Iterator[Judge]:
    """Yield a judge that listens on a port of its own."""
    judge = Judge(mind, **settings)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._note()
            self._send(200, json.dumps({"data": [{"id": name} for name in judge.models]}).encode())

        def do_POST(self) -> None:
            self._note()
            length = int(self.headers["Content-Length"])
            judge.bodies.append(json.loads(self.rfile.read(length)))
            if judge.hangs:
                judge.ended.wait(20)
                return
            if judge.states:
                key = self.headers["Authorization"]
                error = {"error": {"message": f"no\x1b[31m,\nnot with {key}"}}
                self._send(judge.states.pop(0), json.dumps(error).encode(), judge.headers)
                return
            if judge.plain is not None:
                self._write(judge.plain)
                return
            said = {"message": {"role": "assistant", "content": judge.mind(judge.prompts[-1])}}
            body = json.dumps({"choices": [said]}).encode()
            self._send(200, body if judge.raw is None else judge.raw)

        def _note(self) -> None:
            judge.paths.append(f"{self.command} {self.path}")
            judge.keys.append(self.headers["Authorization"])

        def _send(self, state: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(state)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self._write(body)

        def _write(self, body: bytes) -> None:
            for one in [bytes([b]) for b in body] if judge.pause else [body]:
                time.sleep(judge.pause)
                try:
                    self.wfile.write(one)
                except OSError:  # nobody listens any more
                    return

        def log_message(self, *given: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        judge.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield judge
        finally:
            judge.ended.set()
            server.shutdown()
            thread.join()


def both(prompt: str) -> tuple[str, str]:
    """Return the replies A and B in a prompt."""
    found = re.search(
        r"<answer_A>\n(.*)\n</answer_A>\n<answer_B>\n(.*)\n</answer_B>", prompt, re.DOTALL
    )
    assert found, prompt
    return found[1], found[2]


def preferring(good: Callable[[str], bool]) -> Mind:
    """Return a mind that prefers a reply that is good to one that is not, wherever it stands."""

    def mind(prompt: str) -> str:
        a, b = map(good, both(prompt))
        return f"It is so.\n\n**Verdict: {'tie' if a == b else 'A' if a else 'B'}**"

    return mind
