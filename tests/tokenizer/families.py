"""Tokenizers built as those of published families are, on a small vocabulary."""

from __future__ import annotations

import json
from functools import cache

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Library

from groundup.tokenizer import JSONTokenizer
from tests.tokenizer.helpers import small_bpe

CHATML = ["<|im_start|>", "<|im_end|>"]
HEADERS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def byte_level(special: list[str]) -> Library:
    """Return a byte-level BPE, its special tokens the last ids."""
    document = json.loads(small_bpe().to_json())
    library = Library.from_str(json.dumps(document))
    library.add_special_tokens(special)
    return library


@cache
def smollm() -> Library:
    """Each digit is a word; otherwise as GPT-2."""
    library = byte_level(CHATML)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), words]
    )
    return library


@cache
def llama3() -> Library:
    """A pattern of its own; a word that is a token is taken whole, whatever the merges say."""
    library = byte_level(HEADERS)
    library.model.ignore_merges = True
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    library.pre_tokenizer = pre_tokenizers.Sequence([split, BYTES])
    return library


@cache
def qwen2() -> Library:
    """A pattern of its own, on composed characters; added tokens that are not special."""
    library = byte_level(CHATML)
    library.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    library.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(WORDS.replace("{1,3}", "")), behavior="isolated")
    library.pre_tokenizer = pre_tokenizers.Sequence([split, BYTES])
    return library


@cache
def sentencepiece() -> Library:
    """Spaces are letters, and the first word has one too; special tokens eat space behind them."""
    letters = "\n▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ<|>_.,!?'"
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    vocab = {piece: n for n, piece in enumerate([*pieces, "▁t", "he", "▁the"])}
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he")]
    library = Library(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    library.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    library.add_special_tokens([AddedToken(name, rstrip=True, special=True) for name in CHATML])
    return library


@cache
def llama2() -> Library:
    """As above, but a line's end is a byte, and decoding drops the space that encoding puts first.

    Its special tokens leave the space behind them alone.
    """
    document = json.loads(sentencepiece().to_str())
    vocab = document["model"]["vocab"]
    vocab["#"] = vocab.pop("\n")
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    document["decoder"]["decoders"].append(strip)
    for token in document["added_tokens"]:
        token["rstrip"] = False
    return Library.from_str(json.dumps(document))


@cache
def metaspace() -> Library:
    """Ten words, each with the space before it, which decoding drops from the first."""
    words = ["the", "a", "end", "king", "of", "it", "was", "and", "sees", "old"]
    vocab = {word: n for n, word in enumerate(["<unk>", "<s>", "</s>", *(f"▁{w}" for w in words)])}
    library = Library(models.WordLevel(vocab, unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    library.decoder = decoders.Metaspace(prepend_scheme="always")
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    return library


FAMILIES = {"smollm": smollm, "llama3": llama3, "qwen2": qwen2, "sentencepiece": sentencepiece}


def ours(library: Library) -> JSONTokenizer:
    return JSONTokenizer(json.loads(library.to_str()))
