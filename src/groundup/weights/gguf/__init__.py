"""GGUF, the file format of llama.cpp: a model, its numbers and its tokenizer in one file.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from groundup.weights.gguf.read import read_gguf
from groundup.weights.gguf.write import KINDS, write_gguf

__all__ = ["KINDS", "read_gguf", "write_gguf"]
