"""Text out of a trained model: caches, sampling, streaming and chat."""

import sys

from groundup.base.rooms import Room
from groundup.generate.cache import KVCache
from groundup.generate.chat import Chat, Conversation, open_chat
from groundup.generate.generate import generate, generate_tokens, stream, stream_from, stream_rows
from groundup.generate.run_settings import run_settings, run_template
from groundup.generate.sampling import SamplingConfig, next_tokens
from groundup.generate.template import ChatTemplate
from groundup.generate.windows import window_start

__all__ = [
    "Chat",
    "ChatTemplate",
    "Conversation",
    "KVCache",
    "SamplingConfig",
    "generate",
    "generate_tokens",
    "next_tokens",
    "open_chat",
    "run_settings",
    "run_template",
    "stream",
    "stream_from",
    "stream_rows",
    "window_start",
]

sys.modules[__name__].__class__ = Room
