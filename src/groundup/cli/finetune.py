"""`groundup finetune classify`, and what it shares with `groundup finetune instruct`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from groundup.base.errors import UsageError
from groundup.base.file_names import RUNS
from groundup.cli.app import finetune_app
from groundup.cli.data import shard_folder
from groundup.cli.groups import grouped
from groundup.cli.run_names import run_names
from groundup.cli.train import (
    AsJSON,
    Device,
    Extend,
    RunsFolder,
    Seed,
    Steps,
)
from groundup.cli.training import check_run_name, make_classifier

GROUPS = {
    "The records": "records text_field label_field group_field test_records on_bad_record encoding",
    "What learns": "layers method pooling balance max_length set_",
    "How long": "minutes steps epochs extend",
    "How it is computed": "seed device",
    "Where it lies": "run runs_folder data_folder",
}
"""Of --help: headings, and the parameters under each."""

Base = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        autocompletion=run_names,
        help="The run or imported model that it is made from: a folder, or a name in runs/.",
    ),
]
Records = Annotated[
    list[str] | None,
    typer.Option(
        "--records",
        metavar="FILE",
        help="CSV, TSV, JSONL, JSON or Parquet, or named records (see `groundup data list`); may "
        "be repeated.",
    ),
]
TestRecords = Annotated[
    list[str] | None,
    typer.Option(
        "--test-records", metavar="FILE", help="Test on these, not on a tenth of the records."
    ),
]
OnBadRecord = Annotated[str, typer.Option(help="stop, or skip records that cannot be used.")]
Encoding = Annotated[str, typer.Option(help="Of the files.")]
Minutes = Annotated[float | None, typer.Option(help="Train for about so long.")]
Epochs = Annotated[
    float | None,
    typer.Option(
        help="Train for so many passes over the texts. [default: 3; 5 for last, 50 for head]"
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change any setting of training, as in batch_size=8; may be repeated.",
    ),
]
ExampleFolder = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Where the examples are kept; files of records are given as --records. "
        "[default: data]",
    ),
]


@finetune_app.command("classify", cls=grouped(GROUPS))
def classify(
    base: Base,
    records: Records = None,
    text_field: Annotated[
        str | None, typer.Option(help="The field with the text. [default: found, and shown]")
    ] = None,
    label_field: Annotated[
        str | None, typer.Option(help="The field with the label. [default: found, and shown]")
    ] = None,
    group_field: Annotated[
        str | None,
        typer.Option(help="Records with the same value here stay on one side of the split."),
    ] = None,
    test_records: TestRecords = None,
    on_bad_record: OnBadRecord = "stop",
    encoding: Encoding = "utf-8",
    method: Annotated[
        str | None,
        typer.Option(
            help="full (the weights learn), lora or dora (adapters beside them). [default: full]"
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(help="head, last (the last block, too) or all. [default: all]"),
    ] = None,
    pooling: Annotated[
        str | None,
        typer.Option(
            help="last (token) or mean. [default: the better one on the validation texts]"
        ),
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(help="weights: every class counts alike; none: every text. [default: none]"),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(help="Tokens of a text that are read. [default: all that the model sees]"),
    ] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    epochs: Epochs = None,
    run: Annotated[
        str | None, typer.Option(help="Name of the classifier [default: RECORDS-RUN].")
    ] = None,
    extend: Extend = None,
    set_: Assignments = None,
    seed: Seed = None,
    device: Device = None,
    *,
    runs_folder: RunsFolder = RUNS,
    data_folder: ExampleFolder = None,
    as_json: AsJSON = False,
) -> None:
    """Make a classifier of a run, and judge it on unseen texts.

    The run may be trained here or imported. Records are divided into texts to learn from, to
    validate on, and to test with, once, at the end. The same command again goes on where it was
    stopped.
    """
    from groundup.config import TrainConfig, build, parse_assignments
    from groundup.config.recipe import check_one_length, says_length
    from groundup.finetune.settings import (
        DEFAULT_EPOCHS,
        ClassifierSettings,
        check_layers,
        check_of_records,
        training_defaults,
    )

    check_run_name(run)
    if not records:
        raise UsageError(
            "which records? --records FILE names a CSV, TSV, JSONL or Parquet file with a text and "
            "a label in each record; --records testaments is a set to begin with"
        )
    own, settings = parse_assignments(set_ or [], ClassifierSettings, TrainConfig)
    own |= given(layers=layers, pooling=pooling, balance=balance, max_length=max_length)
    settings |= given(steps=steps, minutes=minutes, epochs=epochs)
    settings |= given(seed=seed, device=device, method=method)
    check_one_length(settings)
    check_of_records(settings)
    classifier = build(ClassifierSettings, own)
    if extend is None and not says_length(settings):
        settings["epochs"] = DEFAULT_EPOCHS[classifier.layers]
    train = build(TrainConfig, training_defaults(classifier.layers) | settings)
    check_layers(classifier, train)
    from groundup.finetune.classifier.request import ClassifyRequest

    fields = given(text_field=text_field, label_field=label_field, group_field=group_field)
    request = ClassifyRequest(
        **run_to_make(base, records, run, runs_folder, data_folder),
        reading=fields | how_to_read(test_records, on_bad_record, encoding),
        classifier=classifier,
        train=train,
        extend=extend,
    )
    make_classifier(request, as_json)


def given(**words: Any) -> dict[str, Any]:
    """Return those that were given: whose value is not None."""
    return {name: value for name, value in words.items() if value is not None}


def run_to_make(
    base: Path, records: list[str], run: str | None, runs_folder: Path, data_folder: Path | None
) -> dict[str, Any]:
    """Return what a request says of the run to make: of what, where, and by this command."""
    from groundup.runs.find import find_run

    return {
        "base": find_run(base, runs_folder),
        "records": tuple(records),
        "run": run,
        "command": shlex.join(["groundup", *sys.argv[1:]]),
        "own_process": True,
        "runs_folder": runs_folder,
        "data_folder": shard_folder(data_folder),
    }


def how_to_read(
    test_records: list[str] | None, on_bad_record: str, encoding: str
) -> dict[str, Any]:
    """Return how the records of either verb are read."""
    return {
        "on_bad_record": on_bad_record,
        "encoding": encoding,
        "test_sources": test_records or [],
    }
