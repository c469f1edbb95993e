"""`groundup plan`: how large a model is and what it takes, before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.base.errors import UsageError
from groundup.base.file_names import RUNS
from groundup.cli.app import app, verb
from groundup.cli.options import AsJSON
from groundup.cli.printing import print_rows
from groundup.cli.run_names import preset_names

if TYPE_CHECKING:
    from groundup.config import GPTConfig


@verb(app, "plan")
def plan(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="PRESET_OR_RUN",
            autocompletion=preset_names,
            help="A named model (gpt2-124m, nano, …), or a run or imported model that learns on "
            "[default: what train takes in its time].",
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="full, lora or dora, as of train and finetune.")
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(help="Plan a classifier made of it that learns: head, last (block) or all."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated."),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option(help="Measure this machine first, for some seconds, and remember it.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Show a model's size, and what its training takes.

    Parameters and storage are exact, memory is a sum of what is held; the model is not built. Times
    are shown once this machine was measured.
    """
    from groundup import plan as planning
    from groundup.config import GPTConfig, TrainConfig, build, parse_assignments
    from groundup.config.recipe import (
        DEFAULT_MINUTES,
        DEFAULT_PRESET,
        default_layers,
        says_length,
    )
    from groundup.finetune.settings import (
        DEFAULT_EPOCHS,
        ClassifierSettings,
        check_layers,
        training_defaults,
    )

    classes = GPTConfig, ClassifierSettings, TrainConfig
    changes, own, settings = parse_assignments(set_ or [], *classes)
    settings |= {} if method is None else {"method": method}
    own |= {} if layers is None else {"layers": layers}
    texts = None
    if own:
        classifier = build(ClassifierSettings, own)
        settings = training_defaults(classifier.layers) | settings
        if not says_length(settings):
            settings["epochs"] = DEFAULT_EPOCHS[classifier.layers]
        texts = planning.Texts(layers=classifier.layers, longest=classifier.max_length or 0)
    elif model is None and not says_length(settings):
        settings["minutes"] = DEFAULT_MINUTES
    train = build(TrainConfig, settings)
    if model is None:
        model, n_layers = DEFAULT_PRESET, default_layers(train.minutes)
        changes = changes if n_layers is None else {"n_layers": n_layers, **changes}
    if own:
        check_layers(classifier, train)
    config = _model(model, changes)
    if texts and texts.longest > config.context_length:
        raise UsageError(
            f"max_length = {texts.longest}: {model} sees at most {config.context_length} tokens "
            "(its context_length); give at most that"
        )
    if calibrate:
        from groundup.train.calibrate import calibrate as measure

        measure().save()
    known = planning.load_calibration()
    result = planning.make_plan(config, train, calibration=known, texts=texts)
    if as_json:
        print(json.dumps(result.as_dict(), indent=2))
        return
    for table in planning.plan_tables(result, name=model):
        print_rows(*table)
        print()


def _model(name: str, changes: dict[str, Any]) -> GPTConfig:
    """Return a preset or the model of a run, with some of its numbers changed."""
    from groundup.config import PRESETS, preset
    from groundup.runs import RunFolder
    from groundup.runs.find import find_run
    from groundup.train.start import changed_base

    folder = RunFolder(find_run(Path(name), RUNS))
    if name in PRESETS or not folder.exists():
        return preset(name, **changes)
    return changed_base(folder.path, changes, folder)
