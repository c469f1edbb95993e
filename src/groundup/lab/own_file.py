"""An experiment of one's own in TOML: arms as tables of settings. It is checked without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.base.errors import ConfigError, UsageError, nearest, quoted, shown
from groundup.base.files import read_toml
from groundup.config import GPTConfig, TrainConfig
from groundup.config.fields import build, field_types, one_of
from groundup.config.other_names import SETTINGS

KEYS = {
    "question": str,
    "prediction": str,
    "source": str,
    "against": str,
    "metric": str,
    "seeds": int,
    "steps": int,
    "learning_rate": float,
    "model": dict,
    "train": dict,
    "arms": dict,
}
"""What may stand in such a file; only `question` and `arms` must."""
METRICS = ("val_loss", "train_loss")
GIVEN = {
    "vocab_size": "it is that of the text",
    "seed": "each arm is trained with each of the seeds",
    "minutes": "arms are compared after as many steps: write steps",
    "epochs": "arms are compared after as many steps: write steps",
}
"""Settings that no arm chooses, and why."""
SMALL: dict[str, Any] = {"context_length": 64, "emb_dim": 64, "n_heads": 4, "n_layers": 4}
"""The model unless another is given: 0.2 million parameters."""
FEWEST_SEEDS, MOST_SEEDS = 2, 1000


def own_name(path: Path) -> str:
    """Return the name of the experiment in a file: the file's, in small letters."""
    return re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "own"


def read_own_toml(path: Path) -> dict[str, Any]:
    """Return what a file says, checked: arguments of `compare_arms`."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file; check the path")
    tables = read_toml(path)
    try:
        for key, value in tables.items():
            _check_key(key, value)
        for key in ("question", "arms"):
            if key not in tables:
                raise ConfigError(f"it has no {key}; write {key} = ..." if key != "arms" else
                                  "it has no arms; write a table [arms.NAME] for each")  # fmt: skip
        check_arms(**{key: tables[key] for key in tables if key in CHECKED})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return {"name": own_name(path), **tables}


def _check_key(key: str, value: Any) -> None:
    if key not in KEYS:
        setting = key in field_types(GPTConfig) or key in field_types(TrainConfig)
        table = "model" if key in field_types(GPTConfig) else "train"
        hint = f"it belongs into the table [{table}]" if setting else nearest(key, KEYS, SETTINGS)
        raise ConfigError(f"unknown key '{shown(key)}'; {hint}")
    kind = (int, float) if KEYS[key] is float else KEYS[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {dict: "a table", str: "a string", int: "a whole number", float: "a number"}
        raise ConfigError(f"{key} = {quoted(value)}: expected {names[KEYS[key]]}")


CHECKED = ("arms", "against", "metric", "seeds", "model", "train", "steps", "learning_rate")


def check_arms(
    arms: Mapping[str, Mapping[str, Any]],
    against: str | None = None,
    metric: str = METRICS[0],
    seeds: int = FEWEST_SEEDS,
    model: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    *,
    steps: int = 1,
    learning_rate: float = 1e-3,
    open_names: bool = False,
) -> None:
    """Refuse arms that no experiment can compare: by their settings alone.

    Parts of other names than groundup's are refused unless `open_names`.
    """
    if not isinstance(arms, Mapping):
        raise ConfigError(f"arms = {quoted(arms)}: expected a table of them by their names")
    for name in arms:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"an arm is called {quoted(name)}; give it a name of letters")
    if len(arms) < 2:
        raise ConfigError(f"{len(arms) or 'no'} arm{'s' * (not arms)}; expected two or more")
    if metric not in METRICS:
        raise ConfigError(f"metric = {quoted(metric)}: expected {one_of(metric, METRICS)}")
    if against is not None and against not in arms:
        raise ConfigError(f"against = {quoted(against)}: expected {one_of(against, arms)}")
    if not isinstance(seeds, int) or not FEWEST_SEEDS <= seeds <= MOST_SEEDS:
        raise ConfigError(
            f"seeds = {quoted(seeds)}: expected how many, {FEWEST_SEEDS} to {MOST_SEEDS}"
        )
    common = {**SMALL, **(model or {})}, {"steps": steps, "learning_rate": learning_rate}
    _sorted_settings("model", model or {}, "model")
    _sorted_settings("train", train or {}, "train")
    found: dict[str, Any] = {}
    for name, settings in arms.items():
        resolved = _resolved(name, settings, common[0], {**common[1], **(train or {})}, open_names)
        for other, those in found.items():
            if those == resolved:
                raise ConfigError(
                    f"the arms {shown(other)} and {shown(name)} do not differ; change a setting in "
                    "one of them, or leave it out"
                )
        found[name] = resolved


def _resolved(
    name: str,
    settings: object,
    model: Mapping[str, Any],
    train: Mapping[str, Any],
    open_names: bool,
) -> tuple[GPTConfig, TrainConfig]:
    if not isinstance(settings, Mapping):
        raise ConfigError(f"arms.{shown(name)} = {quoted(settings)}: expected a table of settings")
    of_model, of_train = sorted_settings(settings, f"arms.{shown(name)}")
    try:
        return (
            build(GPTConfig, {**model, **of_model, "vocab_size": 64}, open_names),
            build(TrainConfig, {**train, **of_train}),
        )
    except ConfigError as error:
        raise ConfigError(f"arms.{shown(name)}: {error}") from None


def sorted_settings(
    settings: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return those settings that are a model's and those that are a training's."""
    owned: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    accepted = field_types(GPTConfig), field_types(TrainConfig)
    for key, value in settings.items():
        if key in GIVEN:
            raise ConfigError(f"{where}: {key}: leave it out, as {GIVEN[key]}")
        owner = next(
            (own for own, names in zip(owned, accepted, strict=True) if key in names), None
        )
        if owner is None:
            hint = nearest(key, [*accepted[0], *accepted[1]], SETTINGS)
            raise ConfigError(f"{where}: unknown key '{shown(key)}'; {hint}")
        owner[key] = value
    return owned


def _sorted_settings(table: str, settings: Mapping[str, Any], where: str) -> None:
    """Refuse a setting in the table of the other kind."""
    of_model, of_train = sorted_settings(settings, where)
    wrong = of_train if table == "model" else of_model
    if wrong:
        other = "train" if table == "model" else "model"
        raise ConfigError(f"{where}: {next(iter(wrong))} belongs into the table [{other}]")
