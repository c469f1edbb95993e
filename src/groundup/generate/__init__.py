"""Text out of a trained model: caches, sampling, streaming and chat."""

import sys

from groundup.base.rooms import Room
from groundup.generate.cache import KVCache
from groundup.generate.chat import Chat, Conversation, open_chat
from groundup.generate.generate import generate, generate_tokens, stream, stream_from, stream_rows
from groundup.generate.questions import Reply, write_replies
from groundup.generate.replies import DialogueIds, encode_dialogues, locate_replies
from groundup.generate.run_settings import run_settings, run_template
from groundup.generate.sampling import SamplingConfig, next_tokens
from groundup.generate.template import CHATML, CHATML_TOKENS, ChatTemplate
from groundup.generate.windows import window_start

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

sys.modules[__name__].__class__ = Room
