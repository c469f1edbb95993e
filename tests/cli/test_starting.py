"""Importing torch without looking for garbage: off meanwhile, on afterwards, whatever happens."""

from __future__ import annotations

import gc
import sys

import pytest

from groundup.cli.starting import without_collecting


def test_the_collector_is_off_while_torch_comes_and_on_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    before = gc.get_freeze_count()
    try:
        with without_collecting():
            meanwhile = gc.isenabled()
        assert not meanwhile
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        with pytest.raises(ImportError), without_collecting():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


def test_nothing_is_kept_where_torch_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    before = gc.get_freeze_count()
    with without_collecting():
        assert gc.isenabled()
    assert gc.get_freeze_count() == before
