import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.base.errors import DataError
from groundup.data.documents import Document
from groundup.data.split import FEWEST_FOR_HASH, ByHash, ByPosition, scan
from groundup.data.text_sum import TextSum


def documents(texts, size=7):
    for number, text in enumerate(texts):
        yield Document(
            f"doc {number}", iter([text[i : i + size] for i in range(0, len(text), size)])
        )


def divide(texts, size=7):
    """Return the scan and the documents of each split; a part of a document has no mark."""
    seen = scan(documents(texts, size), lambda done: None)
    sides = {}
    for split in ("train", "val"):
        pieces = seen.rule.pieces(documents(texts, size), split, TextSum())
        sides[split] = "".join("\0" if piece is None else piece for piece in pieces)
    return seen, sides


plain = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30
)


@given(st.lists(plain, min_size=1, max_size=60), st.integers(1, 9))
def test_every_document_is_on_one_side_and_all_text_is_kept(texts, size):
    seen, sides = divide(texts, size)
    assert seen.n_bytes == sum(len(text.encode()) for text in texts)
    if isinstance(seen.rule, ByHash):
        found = sides["train"].split("\0")[:-1] + sides["val"].split("\0")[:-1]
        assert sorted(found) == sorted(texts)
        assert sides["train"]
        assert sides["val"]
    else:
        whole = "".join(text + "\0" for text in texts)
        assert sides["train"] + sides["val"] == whole
        n_train = len(sides["train"].replace("\0", "").encode())
        cut = seen.n_bytes * 9 // 10
        assert cut - 4 < n_train <= cut, "a character at the cut goes to validation"


@given(st.integers(0, 10**6), st.sets(st.integers(10**7, 10**8), max_size=40))
def test_adding_documents_moves_no_other(start, more):
    texts = [f"text {n}" for n in range(start, start + 60)]
    seen, before = divide(texts)
    if "smallest" in seen.rule.text:
        return  # the one document that then validates may go back when another does
    added = [f"text {n}" for n in more]
    _, after = divide(added[::2] + texts[::-1] + added[1::2])
    for split in before:
        assert set(before[split].split("\0")) <= set(after[split].split("\0"))


def test_the_hash_space_is_cut_at_a_tenth():
    texts = [f"text {n}" for n in range(2000)]
    seen, sides = divide(texts)
    validating = {t for t in texts if hashlib.sha256(t.encode()).digest()[0] < 25}  # < 0.0977
    training = {t for t in texts if hashlib.sha256(t.encode()).digest()[0] > 25}
    assert validating <= set(sides["val"].split("\0"))
    assert training <= set(sides["train"].split("\0"))
    assert f"({sides['val'].count(chr(0)):,} of 2,000)" in seen.rule.text


def test_where_none_falls_into_the_tenth_the_smallest_hash_validates():
    def digest(text):
        return hashlib.sha256(text.encode()).digest()

    high = [t for t in map(str, range(200)) if digest(t)[0] > 30][:40]
    seen, sides = divide([*high, *high])
    smallest = min(high, key=digest)
    assert sides["val"] == f"{smallest}\0" * 2, "both copies, lest one is trained on"
    assert "smallest" in seen.rule.text


@pytest.mark.parametrize(("different", "kind"), [(19, ByPosition), (20, ByHash)])
def test_twenty_different_documents_are_told_by_hash(different, kind):
    texts = [f"text {n}" for n in range(different)]
    assert isinstance(divide(texts + texts)[0].rule, kind)
    assert FEWEST_FOR_HASH == 20


def test_a_text_of_tinyshakespeares_length_divides_as_everybody_divides_it():
    text = "".join(random.Random(1).choices("abcdefgh \n", k=1_115_394))
    seen, sides = divide([text], size=1 << 16)
    assert sides["train"] == text[: int(0.9 * len(text))]
    assert sides["val"] == text[int(0.9 * len(text)) :] + "\0"
    assert "111,540 of 1,115,394 bytes" in seen.rule.text


def test_the_fingerprint_is_of_the_text_alone():
    def fingerprint(texts, size=7):
        return scan(documents(texts, size), lambda done: None).fingerprint

    assert fingerprint(["abcdefghij", "k"]) == fingerprint(["abcdefghij", "k"], 2)
    assert fingerprint(["ab", "c"]) != fingerprint(["a", "bc"])
    assert fingerprint(["ab", "c"]) != fingerprint(["c", "ab"])


def test_no_text_and_half_a_character_are_refused():
    with pytest.raises(DataError, match="no text"):
        divide(["", ""])
    with pytest.raises(DataError, match=r"doc 1: U\+D83D is half of a character"):
        divide(["fine", "bad \ud83d"])
