"""Text out of a trained model: caches, sampling, streaming and chat."""

from groundup.generate.cache import KVCache
from groundup.generate.chat import Chat
from groundup.generate.generate import generate, generate_tokens, stream
from groundup.generate.sampling import SamplingConfig, next_tokens
from groundup.generate.windows import window_start

__all__ = [
    "Chat",
    "KVCache",
    "SamplingConfig",
    "generate",
    "generate_tokens",
    "next_tokens",
    "stream",
    "window_start",
]
