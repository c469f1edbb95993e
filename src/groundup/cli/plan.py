"""`groundup plan`: how large a model is, before anything is trained."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from groundup.cli.app import app, verb
from groundup.cli.options import AsJSON
from groundup.cli.printing import print_rows
from groundup.cli.run_names import preset_names


@verb(app, "plan")
def plan(
    preset: Annotated[
        str,
        typer.Argument(autocompletion=preset_names, help="A named model: gpt2-124m, nano, …"),
    ] = "nano",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated."),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option(help="Measure this machine first, for some seconds, and remember it.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Show a model's parameters, storage and memory.

    Parameters and storage are exact, memory is a sum of what is held; the model is not built. Times
    are shown once this machine was measured.
    """
    from groundup import plan as planning
    from groundup.config import GPTConfig, TrainConfig, build, parse_assignments
    from groundup.config import preset as named

    model_changes, train_changes = parse_assignments(set_ or [], GPTConfig, TrainConfig)
    config = named(preset, **model_changes)
    settings = build(TrainConfig, train_changes)
    if calibrate:
        from groundup.train.calibrate import calibrate as measure

        measure().save()
    result = planning.make_plan(config, settings, calibration=planning.load_calibration())
    if as_json:
        print(json.dumps(result.as_dict(), indent=2))
        return
    for table in planning.plan_tables(result, name=preset):
        print_rows(*table)
        print()
