"""`groundup finetune instruct`: a model that is there learns to answer."""

from __future__ import annotations

from typing import Annotated

import typer

from groundup.base.errors import UsageError
from groundup.base.file_names import RUNS
from groundup.cli.app import finetune_app
from groundup.cli.finetune import (
    Assignments,
    Base,
    Encoding,
    ExampleFolder,
    Minutes,
    OnBadRecord,
    Records,
    TestRecords,
    given,
    how_to_read,
    run_to_make,
)
from groundup.cli.groups import grouped
from groundup.cli.train import AsJSON, Device, Extend, RunsFolder, Seed, Steps
from groundup.cli.training import check_run_name, make_assistant

GROUPS = {
    "The records": "records format_ test_records on_bad_record encoding",
    "What learns": "objective method max_length mix_text mix_share set_",
    "How long": "minutes steps epochs extend",
    "How it is judged": "n_replies general_text general_task task_data task_limit judge "
    "judge_model",
    "How it is computed": "seed device",
    "Where it lies": "run runs_folder data_folder",
}


@finetune_app.command("instruct", cls=grouped(GROUPS))
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
            help="full (the weights learn), lora or dora (adapters beside them). [default: full]"
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
    from groundup.config.recipe import check_one_length, says_length
    from groundup.finetune.rewards.settings import RewardSettings, defaults_of, settings_of
    from groundup.finetune.settings import (
        INSTRUCT_EPOCHS,
        check_method,
        check_mix,
        check_of_records,
        check_task,
    )

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
    own |= given(max_length=max_length, mix_text=mix_text, mix_share=mix_share)
    own |= given(n_replies=n_replies, general_text=general_text, objective=objective)
    own |= given(general_task=general_task, task_data=task_data, task_limit=task_limit)
    check_mix(own)
    check_task(own)
    asked = settings_of(own)
    settings |= given(steps=steps, minutes=minutes, epochs=epochs)
    settings |= given(seed=seed, device=device, method=method)
    check_method(settings)
    check_one_length(settings)
    check_of_records(settings)
    if extend is None and not says_length(settings):
        settings["epochs"] = INSTRUCT_EPOCHS
    from groundup.evaluate.endpoint import endpoint_at
    from groundup.finetune.assistant.request import InstructRequest

    request = InstructRequest(
        **run_to_make(base, records, run, runs_folder, data_folder),
        reading=given(format=format_) | how_to_read(test_records, on_bad_record, encoding),
        instruct=asked,
        judge=None if judge is None else endpoint_at(judge, judge_model),
        train=build(TrainConfig, defaults_of(asked) | settings),
        extend=extend,
    )
    make_assistant(request, as_json)
