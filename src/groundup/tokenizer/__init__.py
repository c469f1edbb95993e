"""Text to token ids and back: byte-level BPE, bytes, characters, GPT-2's and any tokenizer.json."""

from groundup.tokenizer.bpe import BPETokenizer, train_bpe
from groundup.tokenizer.build import build_tokenizer
from groundup.tokenizer.bytewise import ByteTokenizer
from groundup.tokenizer.characters import CharTokenizer
from groundup.tokenizer.gpt2 import gpt2_tokenizer
from groundup.tokenizer.interface import Tokenizer
from groundup.tokenizer.json_file import JSONTokenizer
from groundup.tokenizer.load import load_tokenizer, tokenizer_from_document
from groundup.tokenizer.special import with_special_tokens
from groundup.tokenizer.stream import StreamDecoder

__all__ = [
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "JSONTokenizer",
    "StreamDecoder",
    "Tokenizer",
    "build_tokenizer",
    "gpt2_tokenizer",
    "load_tokenizer",
    "tokenizer_from_document",
    "train_bpe",
    "with_special_tokens",
]
