"""An OpenAI-style endpoint: a model behind an address, which is asked and answers.

Such an address is what `/chat/completions` is added to: OpenAI's own, or that of vLLM, Ollama,
llama.cpp's server and many others. Nothing here needs torch.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from typing import IO, Any
from urllib.parse import urlsplit

from groundup.base.errors import UsageError, quoted, shown
from groundup.base.parse import parse_json

KEY = "GROUNDUP_JUDGE_KEY"
"""The environment variable with the key. Not OPENAI_API_KEY: no key goes where nobody sent it."""
LOCAL = ("localhost", "127.0.0.1", "::1")
MOST_BYTES = 1 << 20
"""Of an answer; a longer one is refused."""
TIMEOUT = 120.0
"""Seconds for one answer."""
WAITS = (1.0, 4.0, 16.0)
"""Seconds before asking again, each time that an answer did not come."""
LONGEST_WAIT = 60.0
"""Seconds at most that an endpoint may ask for."""
AGAIN = (408, 425, 429)
"""Of the HTTP states below 500, those after which asking again may help."""
UNAUTHORISED = 401
CUT_SHORT = "its answer was cut short"
MOST_TOKENS = 1024
"""Of an answer."""
CHAT = "/chat/completions"


class EndpointError(Exception):
    """No answer, and why in one line; `again`: whether asking again may help, after `wait` s."""

    def __init__(self, why: str, again: bool = False, wait: float = 0.0) -> None:
        super().__init__(why)
        self.again, self.wait = again, wait


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nothing: what is sent, and the key, are for the address that the user gave."""

    def redirect_request(
        self, req: Any, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Return no request, so that the answer is an error."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a model answers, as `endpoint_at` has checked it; the key is never shown or written."""

    url: str
    asked_model: str | None = None
    """Its name; None asks the endpoint, which must have one alone."""
    key: str | None = field(default=None, repr=False)
    timeout: float = TIMEOUT
    waits: tuple[float, ...] = WAITS
    sleep: Callable[[float], None] = time.sleep

    @cached_property
    def model(self) -> str:
        """The name of the model: as given, or of the only one there; a `UsageError` says why not.

        The endpoint is asked only where no name was given.
        """
        if self.asked_model is not None:
            return self.asked_model
        try:
            names = [one["id"] for one in self._fetch("/models")["data"]]
        except EndpointError as error:
            raise self._unnamed(f"its list of models did not come: {error}") from None
        except (KeyError, TypeError):
            raise self._unnamed("it has no list of models") from None
        said = ", ".join(shown(self._line(str(name)), 60) for name in names[:6])
        if len(names) != 1:
            more = f" and {len(names) - 6} more" if len(names) > 6 else ""
            raise self._unnamed(f"{len(names)} are there{f': {said}{more}' if names else ''}")
        if not _is_name(names[0]) or self._without_key(names[0]) != names[0]:
            raise self._unnamed(f"the only one there is called '{said}', which is no name")
        return str(names[0])

    def _unnamed(self, why: str) -> UsageError:
        return UsageError(f"--judge {self.url}: which model? {why}; name it with --judge-model")

    def ask(self, prompt: str) -> str:
        """Return the model's answer to a message of the user, as likely as can be (temperature 0).

        What fails for a while is asked again, after each of `waits`. Raises `EndpointError` in the
        end, and at once for what asking again does not change. Characters that no terminal should
        be given are replaced by U+FFFD.
        """
        waits = list(self.waits)
        while True:
            try:
                return self._answer(prompt)
            except EndpointError as error:
                if not error.again or not waits:
                    raise
                self.sleep(max(waits.pop(0), min(error.wait, LONGEST_WAIT)))

    def _answer(self, prompt: str) -> str:
        message = {"role": "user", "content": prompt}
        body = {"model": self.model, "messages": [message], "temperature": 0}
        found = self._fetch(CHAT, {**body, "max_tokens": MOST_TOKENS})
        try:
            choice = found["choices"][0]
            content = choice["message"].get("content")
        except (KeyError, IndexError, TypeError, AttributeError):
            said = shown(self._line(_detail(found) or json.dumps(found)), 200)
            raise EndpointError(f"its answer has no choices[0].message.content: {said}") from None
        if not isinstance(content, str | None):
            raise EndpointError("its answer is no text")
        if not content or content.isspace():  # as of one that has thought for too long
            ended = shown(self._line(str(choice.get("finish_reason", "unknown"))), 40)
            raise EndpointError(f"its answer is empty (finish_reason: {ended})")
        return self._without_key(clean(content))

    def _fetch(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the JSON that the endpoint sends for a GET, or for a POST of `body`.

        All of it comes within `timeout`: the limit of a socket is of each piece.
        """
        fetched: Future[Any] = Future()

        def fetch() -> None:
            try:
                fetched.set_result(self._fetched(path, body))
            except Exception as error:
                fetched.set_exception(error)

        threading.Thread(target=fetch, daemon=True).start()
        try:
            return fetched.result(self.timeout)
        except TimeoutError:
            raise self._late() from None

    def _fetched(self, path: str, body: dict[str, Any] | None) -> Any:
        headers = {"Accept": "application/json", "User-Agent": "groundup"}
        data = None
        if body is not None:
            headers["Content-Type"], data = "application/json", json.dumps(body).encode()
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                raw = self._read(response)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from None
        except http.client.IncompleteRead:
            raise EndpointError(CUT_SHORT, again=True) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(getattr(error, "reason", error)) from None
        try:
            return parse_json(raw)
        except ValueError:
            said = self._line(raw[:400].decode("utf-8", "replace"))
            raise EndpointError(
                f"expected JSON, but it sent {shown(said, 60) or 'nothing'}", again=not raw
            ) from None

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        local = urlsplit(self.url).hostname in LOCAL
        # What is sent to this machine goes through no proxy, which would read the key.
        proxies = [urllib.request.ProxyHandler({})] if local else []
        return urllib.request.build_opener(_NoRedirects, *proxies)

    def _read(self, response: Any) -> bytes:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            said = shown(self._line(encoding), 40)
            raise EndpointError(f"it compresses its answer ({said}), though not asked to")
        raw: bytes = response.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise EndpointError(f"its answer has more than {MOST_BYTES:,} bytes")
        if response.length:  # what is still to come
            raise EndpointError(CUT_SHORT, again=True)
        return raw

    def _failed(self, cause: Any) -> EndpointError:
        """Return what it means that no HTTP came; it may come when asked again."""
        if isinstance(cause, TimeoutError):
            return self._late()
        said = shown(self._line(str(cause)), 200) or type(cause).__name__
        is_other = isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, OSError)
        return EndpointError(f"expected HTTP, but it sent {said}" if is_other else said, True)

    def _late(self) -> EndpointError:
        return EndpointError(f"no answer within {self.timeout:g} s", again=True)

    def _refused(self, error: urllib.error.HTTPError) -> EndpointError:
        """Return what an HTTP state of 300 or more means."""
        if 300 <= error.code < 400:
            to = shown(self._line(error.headers.get("Location") or "elsewhere"), 200)
            return EndpointError(
                f"it redirects to {to}, which is not followed; give the address itself"
            )
        raw = b""
        with contextlib.suppress(OSError, http.client.HTTPException):
            raw = error.read(1 << 16)
        said = self._line(_said(raw))
        again = error.code in AGAIN or error.code >= 500
        wait = error.headers.get("Retry-After") or ""
        seconds = float(wait) if wait.isascii() and wait.isdecimal() and len(wait) < 6 else 0.0
        why = f"HTTP {error.code}{f': {shown(said, 200)}' if said else ''}"
        if error.code == UNAUTHORISED and not self.key:
            why += f"; a key is given in the environment, as {KEY}"
        return EndpointError(why, again, seconds)

    def _line(self, text: str) -> str:
        return self._without_key(" ".join(clean(text).split()))

    def _without_key(self, text: str) -> str:
        """Return a text without the key: endpoints repeat one that they do not know."""
        return text.replace(self.key, "[the key]") if self.key else text


def endpoint_at(url: str, model: str | None = None) -> Endpoint:
    """Return the endpoint at an address, with the key that the environment has for it.

    Nothing is sent. Raises `UsageError` for an address that is none, or that would carry or show
    the key where others may read it.
    """
    given = f"--judge {shown(_without_user(url), 200)}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if not host or parts.scheme not in ("http", "https") or not _is_plain(url):
        raise UsageError(
            f"{given}: expected the address of an OpenAI-style endpoint, such as "
            "http://localhost:8000/v1"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"{given}: expected an address alone, as it is written down; a key is given in the "
            f"environment, as {KEY}"
        )
    if model is not None and not _is_name(model):
        raise UsageError(f"--judge-model {quoted(model)}: expected the name of a model")
    return Endpoint(url=url.rstrip("/").removesuffix(CHAT), asked_model=model, key=_key_for(parts))


def _key_for(parts: Any) -> str | None:
    key = os.environ.get(KEY) or None
    if key is not None and not _is_plain(key):
        raise UsageError(f"{KEY}: expected a key of ASCII characters without spaces; set it anew")
    if key is not None and parts.scheme == "http" and parts.hostname not in LOCAL:
        raise UsageError(
            f"--judge http://{parts.hostname}: {KEY} would cross the network for all to read; give "
            "an address with https, or unset the key where none is needed"
        )
    return key


def _is_name(name: object) -> bool:
    """Whether that may be the name of a model, which many lines show."""
    return isinstance(name, str) and bool(name.strip()) and name.isprintable() and len(name) <= 200


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _without_user(url: str) -> str:
    """Return an address without a name and a password in it, which no message is to show."""
    scheme, slashes, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def _said(raw: bytes) -> str:
    """Return what an error says, in the way of OpenAI or any other."""
    with contextlib.suppress(ValueError):
        if detail := _detail(parse_json(raw)):
            return detail
    return raw.decode("utf-8", "replace")


def _detail(value: Any) -> str:
    """Return the message of an error in JSON, "" where it has none."""
    error = value.get("error", value) if isinstance(value, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else ""


def clean(text: str) -> str:
    """Return a text whose characters all are to be seen, but for newlines and tabs."""
    lines = text.replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in lines)
