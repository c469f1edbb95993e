"""An endpoint is asked as OpenAI's is; what fails is asked again, and the key stays where it is."""

from __future__ import annotations

import re

import pytest

from groundup.base.errors import UsageError
from groundup.evaluate.endpoint import KEY, EndpointError, endpoint_at
from tests.evaluate.judging import judging

SECRET = "sk-very-secret-0123"


def test_it_is_asked_in_the_way_of_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which this machine is not asked by
    with judging(lambda prompt: f"{prompt}, too\r\n\x1b[31m\u202e\x9b") as judge:
        endpoint = endpoint_at(f"{judge.url}/")
        assert endpoint.ask("you") == "you, too\n\ufffd[31m\ufffd\ufffd"
        assert endpoint.ask("me")
    assert judge.paths == ["GET /v1/models", *["POST /v1/chat/completions"] * 2]
    assert judge.keys == [f"Bearer {SECRET}"] * 3
    assert judge.bodies[0] == {
        "model": "wise",
        "messages": [{"role": "user", "content": "you"}],
        "temperature": 0,
        "max_tokens": 1024,
    }
    assert SECRET not in repr(endpoint)


def test_the_only_model_is_taken_and_others_are_asked_for() -> None:
    with judging(models=("a", "b\x1b")) as judge:
        with pytest.raises(
            UsageError, match=r"which model\? 2 are there: a, b\ufffd; name it with"
        ):
            _ = endpoint_at(judge.url).model
        judge.models = ()
        with pytest.raises(UsageError, match="0 are there; name it with --judge-model"):
            _ = endpoint_at(judge.url).model
        assert endpoint_at(judge.url, "mine").model == "mine"
        for odd in (None, "", " ", 7, ["a"], "a\nb", "x" * 300, f"Bearer {SECRET}"):
            judge.models = (odd,)
            with pytest.raises(UsageError, match=r"is called .*, which is no name; name") as caught:
                _ = judge.endpoint(asked_model=None, key=SECRET).model
            assert len(str(caught.value)) < 200
            assert SECRET not in str(caught.value)
        url = judge.url
    with pytest.raises(UsageError, match=r"its list of models did not come: .*refused; name"):
        _ = endpoint_at(url).model


@pytest.mark.parametrize("state", [429, 500, 503])
def test_what_fails_for_a_while_is_asked_again_after_growing_waits(state: int) -> None:
    with judging(states=[state, state], headers={"Retry-After": "3"}) as judge:
        assert judge.endpoint().ask("?") == "Verdict: tie"
        assert judge.waits == [3, 4]
        judge.states = [500] * 9
        with pytest.raises(EndpointError, match="HTTP 500"):
            judge.endpoint().ask("?")
    assert judge.waits == [3, 4, 3, 4, 16]
    assert len(judge.bodies) == 7


def test_what_is_refused_is_not_asked_again_and_no_message_has_the_key() -> None:
    with judging(states=[401]) as judge, pytest.raises(EndpointError) as caught:
        judge.endpoint(key=SECRET).ask("?")
    assert str(caught.value) == "HTTP 401: no\ufffd[31m, not with Bearer [the key]"
    assert judge.waits == []


def test_a_judge_that_hangs_or_trickles_is_not_waited_for() -> None:
    late = "no answer within 0.2 s"
    with judging(hangs=True) as judge, pytest.raises(EndpointError, match=late):
        judge.endpoint(timeout=0.2, waits=(1.0,)).ask("?")
    assert judge.waits == [1.0]
    for plain in (
        None,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 99,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 99,
    ):
        slow = judging(pause=0.02, mind=lambda prompt: "x" * 200, plain=plain)
        with slow as judge, pytest.raises(EndpointError, match=late):
            judge.endpoint(timeout=0.2, waits=()).ask("?")


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "its answer was cut short"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            "its answer was cut short",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "expected JSON, but it sent nothing"),
        (b"SSH-2.0-OpenSSH\x1b\r\n", "expected HTTP, but it sent SSH-2.0-OpenSSH\ufffd"),
        (b"SSH" * 20_000 + b"\r\n", r"expected HTTP, but it sent SSH.{190,200}\.\.\."),
        (b"", "closed connection without response"),
    ],
)
def test_what_does_not_come_whole_is_asked_for_again(plain: bytes, words: str) -> None:
    with judging(plain=plain) as judge, pytest.raises(EndpointError) as caught:
        judge.endpoint(waits=(1.0,)).ask("?")
    assert re.fullmatch(f".*{words}", str(caught.value))
    assert judge.waits == [1.0]


def test_nothing_is_sent_where_a_redirect_leads() -> None:
    with judging() as other, judging(states=[307]) as judge:
        judge.headers = {"Location": f"{other.url}/chat/completions"}
        with pytest.raises(
            EndpointError, match=f"redirects to {other.url}/chat/comp.*not followed"
        ):
            judge.endpoint(key=SECRET).ask("?")
    assert other.paths == []
    assert len(judge.bodies) == 1


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"<html>Welcome</html>", "expected JSON, but it sent <html>Welcome</html>"),
        (b"", "expected JSON, but it sent nothing"),
        (b"{}", r"has no choices\[0\].message.content: {}"),
        (b'{"error": {"message": "no\\u001b[2J"}}', r"message.content: no\ufffd\[2J$"),
        (b'{"choices": [{"message": {"content": 7}}]}', "its answer is no text"),
        (
            b'{"choices": [{"message": {"content": null}, "finish_reason": "length"}]}',
            r"its answer is empty \(finish_reason: length\)",
        ),
        (b"x" * 2_000_000, "more than 1,048,576 bytes"),
    ],
)
def test_what_is_no_answer_is_told(raw: bytes, words: str) -> None:
    with judging(raw=raw) as judge, pytest.raises(EndpointError, match=words):
        judge.endpoint().ask("?")
    assert len(judge.waits) == (3 if raw == b"" else 0)


def test_what_is_compressed_is_not_unpacked() -> None:
    plain = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08"
    with (
        judging(plain=plain) as judge,
        pytest.raises(EndpointError, match=r"compresses .*\(gzip\)"),
    ):
        judge.endpoint().ask("?")
    assert judge.waits == []


def test_who_needs_a_key_is_told_where_it_is_taken_from() -> None:
    with judging(states=[401]) as judge, pytest.raises(EndpointError, match=f"401: .*, as {KEY}$"):
        judge.endpoint().ask("?")


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "gpt-4", "ftp://a.org", "http://", "http://[::1", "http://a:b/v1",
     "http://a b/v1", "http://a\n/v1", "https://\xe4.org/v1"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="expected the address of an OpenAI-style endpoint") as e:
        endpoint_at(url)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("url", [f"https://me:{SECRET}@a.org/v1", f"https://a.org/v1?key={SECRET}"])
def test_an_address_with_a_secret_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match=f"--judge https://a.org/v1: .*, as {KEY}") as caught:
        endpoint_at(url)
    assert SECRET not in str(caught.value)


def test_the_key_does_not_cross_a_network_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SECRET)
    with pytest.raises(UsageError, match="for all to read; give an address with https"):
        endpoint_at("http://10.0.0.7:8000/v1")
    for url in ("http://localhost:8000/v1", "http://[::1]:8000", "https://a.org/v1"):
        assert endpoint_at(url).key == SECRET
    monkeypatch.setenv(KEY, "two\nlines")
    with pytest.raises(UsageError, match="without spaces; set it anew") as caught:
        endpoint_at("https://a.org/v1")
    assert "two" not in str(caught.value)
    monkeypatch.setenv(KEY, "")
    assert endpoint_at("http://10.0.0.7:8000/v1/chat/completions").url == "http://10.0.0.7:8000/v1"
