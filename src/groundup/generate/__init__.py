"""Text out of a trained model: caches, sampling, streaming and chat.

What chats need is imported on first use: a text that is continued does not wait for it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from groundup.base.lazy import on_first_use
from groundup.base.rooms import Room
from groundup.generate.cache import KVCache
from groundup.generate.generate import generate, generate_tokens, stream, stream_from, stream_rows
from groundup.generate.run_settings import run_settings, run_template
from groundup.generate.sampling import SamplingConfig, next_tokens
from groundup.generate.template import CHATML, CHATML_TOKENS, ChatTemplate
from groundup.generate.windows import window_start

if TYPE_CHECKING:
    from groundup.generate.chat import Chat, Conversation, open_chat
    from groundup.generate.questions import Reply, write_replies
    from groundup.generate.replies import DialogueIds, encode_dialogues, locate_replies

__all__ = [
    "CHATML",
    "CHATML_TOKENS",
    "Chat",
    "ChatTemplate",
    "Conversation",
    "DialogueIds",
    "KVCache",
    "Reply",
    "SamplingConfig",
    "encode_dialogues",
    "generate",
    "generate_tokens",
    "locate_replies",
    "next_tokens",
    "open_chat",
    "run_settings",
    "run_template",
    "stream",
    "stream_from",
    "stream_rows",
    "window_start",
    "write_replies",
]

_MODULES = {
    "Chat": "chat",
    "Conversation": "chat",
    "open_chat": "chat",
    "Reply": "questions",
    "write_replies": "questions",
    "DialogueIds": "replies",
    "encode_dialogues": "replies",
    "locate_replies": "replies",
}

__getattr__ = on_first_use("groundup.generate", _MODULES)
sys.modules[__name__].__class__ = Room
