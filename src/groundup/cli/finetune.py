"""`groundup finetune`: a model that is there learns something of its own."""

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
from groundup.cli.training import check_run_name, make_assistant, make_classifier

CLASSIFY_GROUPS = {
    "The records": "records text_field label_field group_field test_records on_bad_record encoding",
    "What learns": "layers method pooling balance max_length set_",
    "How long": "minutes steps epochs extend",
    "How it is computed": "seed device",
    "Where it lies": "run runs_folder data_folder",
}
"""Of --help: headings, and the parameters under each."""

INSTRUCT_GROUPS = {
    "The records": "records format_ test_records on_bad_record encoding",
    "What learns": "objective method max_length mix_text mix_share set_",
    "How long": "minutes steps epochs extend",
    "How it is judged": "n_replies general_text general_task task_data task_limit judge "
    "judge_model",
    "How it is computed": "seed device",
    "Where it lies": "run runs_folder data_folder",
}

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


@finetune_app.command("classify", cls=grouped(CLASSIFY_GROUPS))
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
    from groundup.config.recipe import check_one_length
    from groundup.finetune.settings import (
        DEFAULT_EPOCHS,
        ClassifierSettings,
        check_layers,
        training_defaults,
    )

    check_run_name(run)
    if not records:
        raise UsageError(
            "which records? --records FILE names a CSV, TSV, JSONL or Parquet file with a text and "
            "a label in each record; --records testaments is a set to begin with"
        )
    own, settings = parse_assignments(set_ or [], ClassifierSettings, TrainConfig)
    own |= _given(layers=layers, pooling=pooling, balance=balance, max_length=max_length)
    settings |= _given(steps=steps, minutes=minutes, epochs=epochs)
    settings |= _given(seed=seed, device=device, method=method)
    check_one_length(settings)
    classifier = build(ClassifierSettings, own)
    if not {"steps", "minutes", "epochs"} & settings.keys() and extend is None:
        settings["epochs"] = DEFAULT_EPOCHS[classifier.layers]
    train = build(TrainConfig, training_defaults(classifier.layers) | settings)
    check_layers(classifier, train)
    from groundup.finetune.classify_request import ClassifyRequest
    from groundup.runs.find import find_run

    reading = _given(text_field=text_field, label_field=label_field, group_field=group_field)
    reading |= {"on_bad_record": on_bad_record, "encoding": encoding}
    reading["test_sources"] = test_records or []
    request = ClassifyRequest(
        base=find_run(base, runs_folder),
        records=tuple(records),
        reading=reading,
        classifier=classifier,
        train=train,
        run=run,
        extend=extend,
        command=shlex.join(["groundup", *sys.argv[1:]]),
        own_process=True,
        runs_folder=runs_folder,
        data_folder=shard_folder(data_folder),
    )
    make_classifier(request, as_json)


@finetune_app.command("instruct", cls=grouped(INSTRUCT_GROUPS))
def instruct(
    base: Base,
    records: Records = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="alpaca, messages, sharegpt, prompt-completion, question-answer, text or "
            "preferences. [default: found, and shown]",
        ),
    ] = None,
    test_records: TestRecords = None,
    on_bad_record: OnBadRecord = "stop",
    encoding: Encoding = "utf-8",
    objective: Annotated[
        str | None,
        typer.Option(
            help="sft (the replies of dialogues), dpo or orpo (of two replies the chosen one), "
            "grpo (replies of its own, rewarded where right). [default: sft; dpo where the records "
            "are preferences]"
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="full (the weights learn), lora or dora (adapters beside them). [default: lora "
            "for a published model of fewer than 500M parameters, else full]"
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(help="Tokens of a dialogue that are read. [default: 1024 at most]"),
    ] = None,
    mix_text: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="A text to go on learning beside the dialogues."),
    ] = None,
    mix_share: Annotated[
        float | None, typer.Option(help="The part of what counts that is its. [default: 0.2]")
    ] = None,
    n_replies: Annotated[
        int | None,
        typer.Option("--replies", help="Test questions to answer at the end. [default: 200]"),
    ] = None,
    general_text: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="A text on which forgetting is measured. [default: the base's own validation "
            "text, if it keeps one]",
        ),
    ] = None,
    general_task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="One of the tasks of `groundup evaluate`, on which it is measured, too.",
        ),
    ] = None,
    task_data: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="The task's documents: a file, or a folder of files."),
    ] = None,
    task_limit: Annotated[
        int | None, typer.Option(help="Ask the first so many of them. [default: 500]")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="An OpenAI-style endpoint that compares the replies before and after, such as "
            "http://localhost:8000/v1; its key is taken from GROUNDUP_JUDGE_KEY.",
        ),
    ] = None,
    judge_model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The model there. [default: the only one]"),
    ] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    epochs: Annotated[
        float | None,
        typer.Option(help="Train for so many passes over the dialogues. [default: 3]"),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Name of the assistant [default: RECORDS-RUN].")
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
    """Make an assistant of a run, and judge it on unseen questions.

    The run may be trained here or imported. Records are instructions or dialogues, or preferences
    between two replies, divided into those to learn from, to validate on, and to test with. The
    same command again goes on where it was stopped.
    """
    from groundup.config import TrainConfig, build, parse_assignments
    from groundup.config.recipe import check_one_length
    from groundup.finetune.reward_settings import RewardSettings, defaults_of, settings_of
    from groundup.finetune.settings import INSTRUCT_EPOCHS, check_method, check_mix, check_task

    check_run_name(run)
    if not records:
        raise UsageError(
            "which records? --records FILE names a JSONL, CSV or Parquet file with a dialogue or "
            "an instruction and a reply in each record; --records tasks is a set to begin with"
        )
    if judge is None and judge_model is not None:
        raise UsageError(
            f"--judge-model {judge_model}: of which endpoint? give it with --judge URL"
        )
    own, settings = parse_assignments(set_ or [], RewardSettings, TrainConfig)
    own |= _given(max_length=max_length, mix_text=mix_text, mix_share=mix_share)
    own |= _given(n_replies=n_replies, general_text=general_text, objective=objective)
    own |= _given(general_task=general_task, task_data=task_data, task_limit=task_limit)
    check_mix(own)
    check_task(own)
    asked = settings_of(own)
    settings |= _given(steps=steps, minutes=minutes, epochs=epochs)
    settings |= _given(seed=seed, device=device, method=method)
    check_method(settings)
    check_one_length(settings)
    if not {"steps", "minutes", "epochs"} & settings.keys() and extend is None:
        settings["epochs"] = INSTRUCT_EPOCHS
    from groundup.evaluate.endpoint import endpoint_at
    from groundup.finetune.instruct_request import InstructRequest, default_method
    from groundup.runs.find import find_run

    where: dict[str, Any] = {
        "base": find_run(base, runs_folder),
        "records": tuple(records),
        "run": run,
        "runs_folder": runs_folder,
        "data_folder": shard_folder(data_folder),
    }
    reason = ""
    if "method" not in settings:
        folder = InstructRequest(**where).folder
        settings["method"], reason = default_method(where["base"], folder)
    reading = _given(format=format_)
    reading |= {"on_bad_record": on_bad_record, "encoding": encoding}
    reading["test_sources"] = test_records or []
    request = InstructRequest(
        **where,
        reading=reading,
        instruct=asked,
        judge=None if judge is None else endpoint_at(judge, judge_model),
        train=build(TrainConfig, defaults_of(asked) | settings),
        method_reason=reason,
        extend=extend,
        command=shlex.join(["groundup", *sys.argv[1:]]),
        own_process=True,
    )
    make_assistant(request, as_json)


def _given(**words: Any) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value is not None}
