import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from groundup.data.portions import cut_safely, units
from groundup.tokenizer import ByteTokenizer
from tests.data.preparing import BPE, prose

tricky = st.text(
    st.sampled_from("ab1.'s \n\t\r\u00a0\u3000\u001c\u0085é語\u0301\U0001f600")
    | st.characters(exclude_categories=["Cs"])
)


def is_safe(text: str, at: int) -> bool:
    return text[at] in " \n" and not text[at - 1].isspace()


@given(st.lists(tricky, max_size=12), st.integers(1, 40))
@example([" \u001c\n", "a"], 1)
@example(["one two", " three\t four", "five six seven"], 8)
@settings(max_examples=300)
def test_encoding_in_units_equals_encoding_whole(pieces, size):
    """Where a safe place exists; a text that had to be cut elsewhere still decodes to itself."""
    cut = [text for text, _ in cut_safely(pieces, size)]
    text = "".join(pieces)
    assert "".join(cut) == text
    encoded = [token for unit in units([*pieces, None], size) for token in unit.encode(BPE)]
    assert encoded[-1] == BPE.end_of_text
    assert BPE.decode(encoded) == text
    forced = [n for n in range(len(cut) - 1) if not is_safe(cut[n] + cut[n + 1], len(cut[n]))]
    for n in forced:
        assert len(cut[n]) >= size
        assert not any(is_safe(cut[n], at) for at in range(1, len(cut[n])))
    if not forced:
        assert encoded[:-1] == BPE.encode(text)


@given(tricky)
@settings(max_examples=500)
def test_words_end_before_a_white_space_that_follows_another_character(text):
    """The claim behind it, at every such place and not only at the last."""
    whole_text = BPE.encode(text)
    for at in range(1, len(text)):
        if is_safe(text, at):
            assert BPE.encode(text[:at]) + BPE.encode(text[at:]) == whole_text


def test_a_long_text_is_encoded_the_same_in_many_units():
    text = prose(60_000)
    pieces = [text[i : i + 10_007] for i in range(0, len(text), 10_007)]
    parts = [unit.encode(BPE) for unit in units(pieces, 1 << 14)]
    assert len(parts) > 10
    np.testing.assert_array_equal(np.concatenate(parts), BPE.encode_array(text))


@given(st.lists(st.none() | st.text(max_size=9)), st.integers(1, 30))
def test_units_keep_order_and_ends(pieces, size):
    tokens = [t for unit in units(pieces, size) for t in unit.encode(ByteTokenizer()).tolist()]
    expected: list[int] = []
    for piece in pieces:
        expected += [256] if piece is None else piece.encode()
    assert tokens == expected


def test_a_text_without_any_white_space_is_cut_all_the_same():
    cut = [text for text, _ in cut_safely(["x" * 10] * 10, 25)]
    assert max(map(len, cut)) <= 35
    assert "".join(cut) == "x" * 100
