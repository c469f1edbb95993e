"""What run.toml says of an assistant: a GPT that answers in the turns of a chat template."""

from __future__ import annotations

ASSISTANT = "assistant"
"""What run.toml calls this kind of training."""
