"""A text that has nothing to do with the dialogues: on it shows what a model has forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from groundup.base.errors import DataError, UsageError
from groundup.data import PreparedData, TokenSplit, open_tokens
from groundup.runs import RunFolder
from groundup.runs.manifest import PRETRAINING
from groundup.runs.own import PathsElsewhere, shards_of


@dataclass(frozen=True)
class GeneralText:
    """The tokens of such a text, none of which is learnt; None where `missing` says why."""

    name: str = ""
    tokens: TokenSplit | None = None
    missing: str = ""


def asked_text(name: str, data: PreparedData) -> GeneralText:
    """Return the part of a text, named by the user, that validates.

    Raises `UsageError` where nothing can be predicted in it.
    """
    tokens = data.tokens("val", verify=True)
    if tokens.n_tokens < 2:
        raise UsageError(
            f"general_text = {name}: {tokens.n_tokens} tokens in the part that validates; expected "
            "2 or more; give more text"
        )
    return GeneralText(f"the validation part of {name}", tokens)


def text_of_base(base: Path) -> GeneralText:
    """Return the validation text of the run `base`, if that was trained here and has it still."""
    folder = RunFolder(base)
    if not folder.exists():
        return GeneralText(missing=f"{base} is gone; --general-text names a text")
    manifest = folder.read()
    try:
        kept = shards_of(manifest)
        if manifest.kind != PRETRAINING or kept is None:
            return GeneralText(missing=f"{base} keeps no text of its own; --general-text names one")
        tokens = open_tokens(kept, "val", verify=True)
    except (DataError, PathsElsewhere) as error:
        return GeneralText(missing=f"the validation text of {base} cannot be read: {error}")
    if tokens.n_tokens < 2:
        return GeneralText(missing=f"the validation text of {base} is empty")
    return GeneralText(f"the validation text of {base}", tokens)
