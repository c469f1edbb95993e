from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Library

from groundup.base.errors import TokenizerError
from groundup.tokenizer import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    JSONTokenizer,
    StreamDecoder,
    load_tokenizer,
)
from groundup.tokenizer.json_file import library_call
from tests.tokenizer.helpers import MIXED, SPEECH, by_library, small_bpe, texts

END = "<|endoftext|>"


def unigram() -> Library:
    """Return a model whose word list holds its special tokens, as SentencePiece writes it."""
    letters = sorted(set("▁</s>abcdefghijklmnopqrstuvwxyz"))
    pieces = [("<unk>", 0.0), ("</s>", 0.0), *[(c, -5.0) for c in letters], ("▁the", -1.0)]
    library = Library(models.Unigram(pieces, unk_id=0))
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.decoder = decoders.Metaspace()
    library.add_special_tokens(["<unk>", "</s>"])
    return library


def words() -> Library:
    vocab = {"[UNK]": 0, END: 1, "hello": 2, "world": 3}
    library = Library(models.WordLevel(vocab, unk_token="[UNK]"))
    library.normalizer = normalizers.Lowercase()
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    library.add_special_tokens(["[UNK]", END])
    return library


def chat() -> Library:
    """Return a byte-level BPE with more added tokens than GPT-2's one."""
    library = by_library(small_bpe())
    library.add_tokens(["<tool>", "été"])
    library.add_special_tokens([AddedToken("<|user|>", lstrip=True, special=True)])
    return library


def saved(library: Library, path: Path) -> JSONTokenizer:
    library.save(str(path / "tokenizer.json"))
    loaded = load_tokenizer(path / "tokenizer.json")
    assert isinstance(loaded, JSONTokenizer)
    return loaded


@pytest.mark.parametrize("make", [unigram, words, chat])
def test_any_kind_encodes_as_the_library(make: Callable[[], Library], tmp_path: Path) -> None:
    library, text = make(), "hello the world été <tool> Hello"
    loaded = saved(library, tmp_path)
    assert loaded.encode(text) == library.encode(text, add_special_tokens=False).ids
    # The library reads an added token such as 'été' as if it were written in visible bytes.
    shown = text if make is chat else library.decode(loaded.encode(text))
    assert loaded.decode(loaded.encode(text)) == shown
    stream = StreamDecoder(loaded)
    parts = [stream.feed([token]) for token in loaded.encode(text)]
    assert "".join(parts) + stream.flush() == loaded.decode(loaded.encode(text))
    loaded.save(tmp_path / "again.json")
    assert load_tokenizer(tmp_path / "again.json").fingerprint == loaded.fingerprint


@pytest.mark.parametrize(
    ("make", "n"),
    [(unigram, len("ÉTÉ") + len("1")), (words, len("ÉTÉ") + len("the") + 1), (chat, 0)],
)
def test_characters_that_become_the_unknown_are_counted(
    make: Callable[[], Library], n: int, tmp_path: Path
) -> None:
    loaded = saved(make(), tmp_path)
    assert loaded.n_unknown("hello world ÉTÉ the 1 hello") == n
    assert loaded.n_unknown("hello world") == loaded.n_unknown("") == 0


@pytest.mark.parametrize("make", [unigram, words, chat])
@pytest.mark.parametrize("text", [END, f"hello {END} world", "a</s>b", "</s>", "x <|user|> y"])
def test_text_never_becomes_a_special_token(
    make: Callable[[], Library], text: str, tmp_path: Path
) -> None:
    library = make()
    special = {n for n, t in library.get_added_tokens_decoder().items() if t.special}
    special -= {library.token_to_id("<unk>"), library.token_to_id("[UNK]")}
    loaded = saved(library, tmp_path)
    for tokenizer in (loaded, pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
        assert tokenizer.encode(text)
        assert not special & set(tokenizer.encode(text))
    assert loaded.decode(sorted(special)) == ""
    if make is chat:  # nor does it change how the words around it are split
        assert loaded.encode(text) == small_bpe().encode(text)


@given(texts.map(lambda text: text + END + text))
def test_our_own_never_make_a_special_token(text: str) -> None:
    for tokenizer in (small_bpe(), ByteTokenizer()):
        assert tokenizer.end_of_text is not None
        assert tokenizer.end_of_text not in tokenizer.encode(text)
        assert tokenizer.decode([tokenizer.end_of_text, *tokenizer.encode(text)]) == text
        assert tokenizer.token_bytes(tokenizer.end_of_text) == b""


def test_an_end_not_marked_special_is_still_never_typed(tmp_path: Path) -> None:
    document = json.loads(small_bpe().to_json())
    document["added_tokens"][0]["special"] = False
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document))
    loaded = load_tokenizer(path)
    assert loaded.end_of_text == 699
    assert 699 not in loaded.encode(f"a{END}b")


def test_padding_and_truncation_of_the_file_are_not_applied(tmp_path: Path) -> None:
    library = chat()
    library.enable_truncation(3)
    library.enable_padding(length=1000)
    loaded = saved(library, tmp_path)
    assert 3 < len(loaded.encode(SPEECH)) < 1000


CHAT = JSONTokenizer(json.loads(chat().to_str()))


@given(texts)
def test_byte_level_json_round_trips(text: str) -> None:
    loaded = CHAT
    ids = loaded.encode(text)
    assert loaded.decode(ids) == text
    assert b"".join(map(loaded.token_bytes, ids)) == text.encode()


def test_without_exact_bytes_it_says_so(tmp_path: Path) -> None:
    loaded = saved(unigram(), tmp_path)
    assert loaded.decode_bytes(loaded.encode("the abc")) == b"the abc"
    with pytest.raises(TokenizerError, match="no exact bytes"):
        loaded.token_bytes(3)


def test_foreign_layouts_of_a_plain_bpe_take_the_quick_path(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    by_library(small_bpe()).save(str(path))  # merges as pairs
    assert load_tokenizer(path).fingerprint == small_bpe().fingerprint
    document = json.loads(small_bpe().to_json())
    del document["model"]["type"], document["model"]["ignore_merges"]
    document["model"] |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
    document["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True}
    document["post_processor"] |= {"trim_offsets": False, "use_regex": True}
    path.write_text(json.dumps(document))
    assert isinstance(load_tokenizer(path), BPETokenizer)
    assert load_tokenizer(path).fingerprint == small_bpe().fingerprint


def test_a_bpe_that_ranks_cannot_express_is_left_to_the_library(tmp_path: Path) -> None:
    document = json.loads(ByteTokenizer().to_json())
    model = document["model"]
    del model["vocab"][END]
    # 'abc' is reached only through a pair that 'bc', made first, takes apart.
    model["vocab"] |= {"bc": 256, "ab": 257, "abc": 258, END: 259}
    model["merges"] = ["b c", "a b", "ab c"]
    document["added_tokens"][0]["id"] = 259
    document["pre_tokenizer"]["use_regex"] = True
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document))
    loaded = load_tokenizer(path)
    assert isinstance(loaded, JSONTokenizer)
    assert loaded.encode("abc") == [ord("a"), 256]


def edit(**changes: Any) -> str:
    """Return a small good file with `model.vocab` (or another part) changed."""
    document = json.loads(CharTokenizer("abc").to_json())
    model = document["model"]
    for key, value in changes.items():
        place = model if key in ("vocab", "merges", "type", "unk_token") else document
        place[key] = value
    return json.dumps(document)


ADDED = {"content": "<x>", "single_word": False, "lstrip": False, "rstrip": False}
ADDED |= {"normalized": False, "special": True}
DAMAGED = {
    "empty": ("", "expected JSON"),
    "not-json": ("{'a'", "expected JSON"),
    "half": (edit()[:200], "expected JSON"),
    "not-utf8": (b"\xff\xfe\xfa", "expected JSON"),
    "a-list": ("[1]", "a JSON object"),
    "deep": ("[" * 100_000, "expected JSON"),
    "nan": ('{"model": NaN}', "expected JSON"),
    "surrogate": (edit(vocab={"\ud800": 0}), "expected JSON"),
    "big-number": (edit(vocab={"a": 0}).replace('"a": 0', '"a": ' + "9" * 5000), "expected JSON"),
    "no-model": ("{}", "'model'"),
    "model-a-string": ('{"model": "BPE"}', "'model'"),
    "no-vocab": (edit(vocab=None), "'vocab'"),
    "empty-vocab": (edit(vocab={}), "'vocab'"),
    "hole": (edit(vocab={"a": 0, "b": 2}), "none of them is 1"),
    "beyond": (edit(vocab={"a": 0, "b": 4_000_000_000}), "none of them is 1"),
    "huge-id": (edit(vocab={"a": 10**30}), "none of them is 0"),
    "two-tokens-one-id": (edit(vocab={"a": 0, "b": 0}), "'a' and 'b' both have the id 0"),
    "negative": (edit(vocab={"a": -1}), "'a' has the id -1"),
    "fraction": (edit(vocab={"a": 0.5}), "'a' has the id 0.5"),
    "true": (edit(vocab={"a": 0, "b": True}), "'b' has the id True"),
    "text-id": (edit(vocab={"a": "0"}), "'a' has the id '0'"),
    "key-twice": ('{"model": {"vocab": {"a": 0, "a": 1}}}', "'a' stands twice"),
    "unknown-model": (edit(type="Magic"), "tokenizers library says"),
    "list-of-nothing": (edit(type="Unigram", vocab=[1, 2]), "a piece and a score"),
    "bad-merges": (edit(type="BPE", merges=["a q"]), "tokenizers library says"),
    "merge-of-three": (edit(type="BPE", merges=["a b c"]), "tokenizers library says"),
    "unk-a-list": (edit(unk_token=[]), "'unk_token'"),
    "part-a-number": (edit(decoder=1), "'decoder'"),
    "bad-part": (edit(pre_tokenizer={"type": "Nothing"}), "tokenizers library says"),
    "added-number": (edit(added_tokens=5), "'added_tokens'"),
    "added-strings": (edit(added_tokens=["x"]), "'added_tokens'"),
    "added-without-id": (edit(added_tokens=[ADDED]), "'added_tokens'"),
    "added-taken": (edit(added_tokens=[ADDED | {"id": 1}]), "both have the id 1"),
    "added-other-id": (edit(added_tokens=[ADDED | {"content": "a", "id": 3}]), "two ids, 0 and 3"),
    "added-far": (edit(added_tokens=[ADDED | {"id": 10**6}]), "none of them is 3"),
    "added-gap": (edit(added_tokens=[ADDED | {"id": 5}]), "has the id 5, expected 3"),
    "added-twice": (edit(added_tokens=[ADDED | {"id": 3}] * 2), "twice in 'added_tokens'"),
}


@pytest.mark.parametrize(("content", "says"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_files(content: str | bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TokenizerError) as caught:
        load_tokenizer(path)
    message = str(caught.value)
    assert says in message
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < 400


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"absent\.json: No such file"):
        load_tokenizer(tmp_path / "absent.json")
    with pytest.raises(TokenizerError, match=r"Is a directory|Permission denied"):
        load_tokenizer(tmp_path)
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(300 << 20)
    with pytest.raises(TokenizerError, match="more than 67,108,864 bytes"):
        load_tokenizer(tmp_path / "huge.json")
    (tmp_path / "many.json").write_bytes(b"[" + b"[]," * 2_500_000 + b"0]")
    with pytest.raises(TokenizerError, match="5,000,001 values, more than the 4,000,000"):
        load_tokenizer(tmp_path / "many.json")


def test_a_pattern_that_never_ends_is_given_up(tmp_path: Path) -> None:
    document = json.loads(chat().to_str())
    split = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated"}
    document["pre_tokenizer"] = split | {"invert": False}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document))
    with pytest.raises(TokenizerError, match=r"the tokenizers library says: .*limit"):
        load_tokenizer(path).encode("a" * 99 + "!")


def test_a_decoder_that_panics_is_told_of(tmp_path: Path) -> None:
    library = words()
    library.decoder = decoders.Sequence([decoders.Fuse(), decoders.Strip("a", 9, 9)])
    library.add_tokens(["aa"])
    with pytest.raises(TokenizerError, match="the tokenizers library says"):
        saved(library, tmp_path).decode([4])


class Interrupted(BaseException):
    """What a signal raises, which is not for the library to say."""


def test_an_interrupt_stays_one() -> None:
    def interrupted() -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        library_call(interrupted)


BASE = small_bpe().to_json()


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_file_loads_whole_or_is_refused(data: st.DataObject, tmp_path: Path) -> None:
    document = json.loads(BASE)
    place = data.draw(st.sampled_from([document, document["model"], document["added_tokens"][0]]))
    key = data.draw(st.sampled_from(sorted(place)))
    junk: st.SearchStrategy[Any] = (
        st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({})
    )
    place[key] = data.draw(junk | st.lists(st.text(max_size=3), max_size=2))
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document))
    try:
        loaded = load_tokenizer(path)
        assert not {loaded.end_of_text} & set(loaded.encode(MIXED))
    except TokenizerError as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message
