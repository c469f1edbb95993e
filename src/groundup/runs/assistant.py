"""What run.toml says of an assistant: a GPT that answers in the turns of a chat template."""

from __future__ import annotations

from groundup.runs.manifest import Manifest

ASSISTANT = "assistant"
"""What run.toml calls this kind of training."""
SFT, DPO, ORPO = "sft", "dpo", "orpo"
OF_PAIRS = (DPO, ORPO)
"""What is learnt from preferences; from dialogues and texts, SFT is."""


def objective_of(manifest: Manifest) -> str | None:
    """Return what an assistant learnt by, None of another kind of run."""
    if manifest.kind != ASSISTANT:
        return None
    return str(((manifest.job and manifest.job.settings) or {}).get("objective", SFT))
