"""What others call our settings, presets and texts."""

from __future__ import annotations

import pytest

from groundup.base.errors import ConfigError, nearest, plain
from groundup.config import PRESETS, GPTConfig, TrainConfig, build, preset
from groundup.config.fields import field_types
from groundup.config.other_names import PRESETS as PRESET_NAMES
from groundup.config.other_names import SETTINGS, TEXTS
from groundup.data import CORPORA

FIELDS = [*field_types(GPTConfig), *field_types(TrainConfig)]


@pytest.mark.parametrize(
    ("table", "ours"), [(SETTINGS, FIELDS), (PRESET_NAMES, list(PRESETS)), (TEXTS, list(CORPORA))]
)
def test_each_leads_to_a_name_that_is_there_and_hides_none(
    table: dict[str, str], ours: list[str]
) -> None:
    assert set(table.values()) <= set(ours)
    spelt = {plain(name): name for name in ours}
    assert {table[word] for word in table.keys() & spelt.keys()} <= {
        spelt[word] for word in table.keys() & spelt.keys()
    }


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("bible", "did you mean 'kjv'?"),  # what it means
        ("KJV", "did you mean 'kjv'?"),  # how it may be written
        ("fact", "did you mean 'factbook'?"),  # how it begins
        ("tinyshakespeare2", "did you mean 'shakespeare'?"),  # what is in it
        ("shakspere", "did you mean 'shakespeare'?"),  # the most letters in common
        ("wikipedia", "known: shakespeare, factbook, kjv, tasks, chitchat"),
        ("", "known: shakespeare, factbook, kjv, tasks, chitchat"),
    ],
)
def test_what_a_name_means_comes_before_its_letters(name: str, hint: str) -> None:
    assert nearest(name, CORPORA, TEXTS) == hint


def test_all_that_a_name_may_mean_are_named() -> None:
    hint = "did you mean 'llama3.2-1b' or 'llama3.2-3b'?"
    assert nearest("llama3.2", PRESETS) == hint
    with pytest.raises(ConfigError, match="did you mean 'gpt2-1558m'"):
        preset("gpt2-xl")
    with pytest.raises(ConfigError, match="did you mean 'eval_every' or 'eval_tokens'"):
        build(TrainConfig, {"eval": 5})
