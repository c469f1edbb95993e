"""The text that a run kept aside from training, to validate on."""

from __future__ import annotations

from groundup.data import TokenSplit, open_tokens
from groundup.runs.load import LoadedRun
from groundup.runs.own import shards_of


def validation_split(run: LoadedRun) -> TokenSplit | None:
    """Return a run's validation tokens, None where it has none: imported and saved models.

    Every byte is checked: a damaged shard is a `DataError` that names it.
    """
    folder = shards_of(run.manifest)
    return open_tokens(folder, "val", verify=True) if folder else None
