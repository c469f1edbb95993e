"""Experiments of one's own: arms in a TOML file, or a Python file with `EXPERIMENT = …`."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from groundup.base.errors import GroundupError, UsageError, shown
from groundup.lab.conclusions.words import metric_words
from groundup.lab.experiment import TRAINED, Arm, Experiment, Finding, Prediction, Results, Study
from groundup.lab.measures.training import PLAIN, train_arm
from groundup.lab.own_file import METRICS, SMALL, check_arms, read_own_toml, sorted_settings
from groundup.lab.registry import CONSTANT, experiment_files
from groundup.lab.running.failures import unprinted
from groundup.model import PARTS, Parts

MODULE = "groundup_lab_own"
"""What a Python file is called while it runs."""


def own_experiment(path: Path) -> Experiment:
    """Return the experiment that a .toml or .py file holds; a .py file is run."""
    if path.suffix == ".toml":
        experiment = compare_arms(**read_own_toml(path))
    else:
        experiment = _from_python(path)
    if experiment.name in experiment_files():
        raise UsageError(
            f"{path}: its experiment is called {experiment.name}, as one of groundup's; give it "
            "another name"
        )
    return experiment


def compare_arms(
    name: str,
    question: str,
    arms: Mapping[str, Mapping[str, Any]],
    *,
    prediction: str = "",
    source: str = "ours",
    against: str | None = None,
    metric: str = METRICS[0],
    seeds: int = 5,
    steps: int = 300,
    learning_rate: float = 1e-3,
    model: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    parts: Parts = PARTS,
) -> Experiment:
    """Return an experiment that trains each arm with each seed and compares a loss at the end.

    An arm is what it changes: fields of `GPTConfig` and `TrainConfig` in one table. `model` and
    `train` are what all have in common; `parts` are those that a config may name. `against` is the
    arm that others are compared with, the first where not given; `metric` is val_loss or
    train_loss. With a budget there are more seeds. Raises `ConfigError` for arms that cannot be
    compared.
    """
    check_arms(
        arms, against, metric, seeds, model, train,
        steps=steps, learning_rate=learning_rate, open_names=parts is not PARTS,
    )  # fmt: skip
    made = []
    for arm, settings in arms.items():
        of_model, of_train = sorted_settings(settings, arm)
        made.append(Arm(name=arm, model=of_model, train=of_train, parts=parts))
    common = {"steps": steps, "learning_rate": learning_rate, **(train or {})}

    def studies(scale: float) -> Sequence[Study]:
        return [
            Study(
                name="arms",
                title=f"{len(made)} arms, {metric_words(metric)}",
                kind=TRAINED,
                prediction=Prediction(says=prediction or "None was made.", source=source),
                equal="text, its order, seeds, steps, and all settings that no arm changes",
                measured=f"{metric_words(metric)}, nats a token",
                arms=made,
                seeds=range(1, 1 + round(seeds * scale)),
                model={**SMALL, **(model or {})},
                train={**PLAIN, **common},
                measure=train_arm,
                conclude=partial(_conclude, metric=metric, against=against or made[0].name),
            )
        ]

    return Experiment(name=name, question=question, studies=studies)


def _conclude(results: Results, metric: str, against: str) -> Finding:
    from groundup.lab.conclusions import differences

    return differences(results, metric, against)


def _from_python(path: Path) -> Experiment:
    """Run a Python file and return its experiment."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file; check the path")
    spec = importlib.util.spec_from_file_location(MODULE, path)
    assert spec is not None, "it ends in .py"
    assert spec.loader is not None, "it is a file"
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    try:
        with unprinted():  # what it prints is no verdict
            spec.loader.exec_module(module)
    except GroundupError as error:
        raise type(error)(f"{path}: {error}") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path}{_line(path, error)}: {_said(error)}; mend the file") from error
    experiment = getattr(module, CONSTANT, None)
    if not isinstance(experiment, Experiment):
        given = "no" if experiment is None else f"a {type(experiment).__name__} as"
        raise UsageError(
            f"{path}: it has {given} {CONSTANT}; write {CONSTANT} = compare_arms(...), or a "
            "groundup.lab.Experiment of your own"
        )
    return experiment


def _line(path: Path, error: BaseException) -> str:
    """Return which line of a file an error comes from."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    return f", line {lines[-1]}" if lines else ""


def _said(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {shown(' '.join(text.split()), 200)}"
