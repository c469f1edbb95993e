"""A tokenizer.json that multiplies, never ends or breaks the library: one line, and soon."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import TokenizerError
from groundup.tokenizer import JSONTokenizer, json_file, trial
from groundup.tokenizer.rules import are_known
from tests.tokenizer.families import FAMILIES, llama2, metaspace
from tests.tokenizer.test_json_file import unigram

LETTERS = {letter: n for n, letter in enumerate("abcdefghij !")}
MODEL = {"type": "BPE", "vocab": LETTERS, "merges": [], "unk_token": "a"}
ADDED = {"special": False, "normalized": True, "lstrip": False, "rstrip": False}


def replace(pattern: str, content: str, kind: str = "String") -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def steps(*parts: dict[str, Any], kind: str = "normalizers") -> dict[str, Any]:
    return {"type": "Sequence", kind: [*parts]}


def split(pattern: str) -> dict[str, Any]:
    parts = {"behavior": "Isolated", "invert": False}
    return {"type": "Split", "pattern": {"Regex": pattern}, **parts}


def document(**changes: Any) -> dict[str, Any]:
    return {"model": MODEL, "added_tokens": [], "decoder": None, **changes}


def added(content: str) -> dict[str, Any]:
    return {"id": len(LETTERS), "content": content, "single_word": False, **ADDED}


MULTIPLY = steps(*[replace("a", "a" * 1000)] * 4)
HOSTILE = {
    "replacements multiply": (document(normalizer=MULTIPLY), "1,000,000 bytes of one"),
    "of nothing": (document(normalizer=steps(*[replace("", "a" * 99)] * 3)), "bytes of one"),
    "where a pattern matches": (
        document(normalizer=replace("(?<=cd)(?=e)", "x" * 4000, "Regex")),
        r"tokens of \d+ bytes",
    ),
    "of each other": (
        document(normalizer=steps(replace("c", "d" * 60), replace("d", "e" * 60))),
        "3,600 tokens of 1 bytes",
    ),
    "of an added token": (
        document(normalizer=MULTIPLY, added_tokens=[added("aa")]),
        "bytes of one",
    ),
    "a decoder multiplies": (
        document(decoder=steps(*[replace("a", "aaa")] * 9, kind="decoders")),
        "bytes of one",
    ),
    "a pattern explodes": (document(pre_tokenizer=split("(c+)+$")), "retry-limit"),
    "a pattern of a decoder": (
        document(
            decoder=steps({"type": "Fuse"}, replace("(a|aa)+$", "", "Regex"), kind="decoders")
        ),
        "retry-limit",
    ),
    "the library breaks down": (
        document(decoder={"type": "Strip", "content": "a", "start": 0, "stop": 9}),
        "index out of bounds",
    ),
    "a table that is none": (
        document(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        "precompiled_charsmap",
    ),
    "an unknown part": (document(normalizer={"type": "Magic"}), "tokenizers library says"),
}  # fmt: skip
LARGE = {
    "a prefix of a megabyte": (
        document(model=MODEL | {"continuing_subword_prefix": "x" * 10**6}),
        "does not come to an end",
    ),
    "added tokens": (
        document(added_tokens=[
            added(f"{n:05d}" + "a" * 1000) | {"id": len(LETTERS) + n} for n in range(30_000)
        ]),
        "too much memory|come to an end",
    ),
    "a vocabulary": (
        document(model={"type": "Unigram", "unk_id": 0, "vocab": [
            ["<unk>", 0.0], *([f"{n:06d}" + "a" * 1000, -1.0] for n in range(30_000))
        ]}),
        "too much memory|come to an end",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trial, "_tried", set())


def check_refused(content: dict[str, Any], says: str, capfd: pytest.CaptureFixture[str]) -> None:
    before = os.times()
    with pytest.raises(TokenizerError, match=says) as caught:
        JSONTokenizer(content)
    after = os.times()
    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", ""), "the library's own words reach nobody"
    assert sum(after[:4]) - sum(before[:4]) < 5, "of processor time, here and there"


@pytest.mark.parametrize("name", HOSTILE)
def test_what_harms_is_refused(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    check_refused(*HOSTILE[name], capfd)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_what_is_far_too_large_is_refused(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    check_refused(*LARGE[name], capfd)


def test_one_is_tried_once_and_known_by_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[object] = []

    def counted(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        runs.append(words)
        return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setattr(trial, "run_python", counted)
    content = document(pre_tokenizer=split("a+"))
    for _ in range(2):
        JSONTokenizer(content)
    trial._tried.clear()  # as in another process
    JSONTokenizer(json.loads(json.dumps(content)))
    assert len(runs) == 1
    JSONTokenizer(document(pre_tokenizer=split("b+")))
    assert len(runs) == 2


def test_published_kinds_are_known_and_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*words: object, **options: object) -> None:
        raise AssertionError("a process for what is known")

    monkeypatch.setattr(trial, "run_python", never)
    for library in (*(make() for make in FAMILIES.values()), llama2(), metaspace()):
        JSONTokenizer(json.loads(library.to_str()))
    assert not are_known(json.loads(unigram().to_str())), "whose vocabulary is a trie"


def test_what_grows_is_watched_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "MOST_GROWN", 1 << 16)
    monkeypatch.setattr(json_file, "try_once", lambda text: None)  # as if it had not met this
    rare = steps(replace("(?=zq)", "b" * 40, "Regex"), replace("bbbb", "c" * 60))
    tokenizer = JSONTokenizer(document(normalizer=rare))
    assert len(tokenizer.encode("ab" * 9000)) == 18_000
    for encode in (tokenizer.encode, tokenizer.encode_spans, tokenizer.encode_markup):
        with pytest.raises(TokenizerError, match=r"characters become .* by the replacements"):
            encode("zq" * 9000)


def test_what_a_trial_cannot_keep_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    assert JSONTokenizer(document(pre_tokenizer=split("a+"))).encode("ab") == [0, 1]
