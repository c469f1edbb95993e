"""`groundup train`: from a text to a trained model, or on from where it was stopped."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.base.errors import GroundupError, UsageError
from groundup.base.file_names import RUNS
from groundup.base.signals import Requests
from groundup.base.terminal import print_command
from groundup.cli.app import app, verb
from groundup.cli.data import ShardFolder, shard_folder
from groundup.cli.groups import grouped
from groundup.cli.options import READING, takes
from groundup.cli.run_names import Run, preset_names, run_names

if TYPE_CHECKING:
    from groundup.runs import RunFolder
    from groundup.train import ConsoleScreen, TrainRequest, TrainRun

STARTED = time.perf_counter()
DEFAULT_MINUTES = 5.0
RESUMING = {"run", "runs_folder", "extend", "as_json"}
"""With no other argument an existing run goes on: these say nothing about what it trains."""

GROUPS = {
    "The model": "preset base tokenizer vocab_size set_",
    "How long": "minutes steps epochs extend",
    "How it is computed": "seed device shard exact",
    "How the text is read": (
        "include text_field on_bad_record split_on end_of_text encoding unknown"
    ),
    "Where it lies": "run runs_folder data_folder",
}
"""Of --help: headings, and the parameters under each."""

Texts = Annotated[
    list[str] | None,
    typer.Argument(help="Files, folders, globs, - or named texts (see `groundup data list`)."),
]
Preset = Annotated[
    str | None,
    typer.Option(
        autocompletion=preset_names,
        help="pico, nano, micro, mini, gpt2-nano, gpt2-124m, … [default: nano]",
    ),
]
Base = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="RUN",
        autocompletion=run_names,
        help="Train on from this run or imported model.",
    ),
]
Minutes = Annotated[float | None, typer.Option(help="Train for about so long [default: 5].")]
Steps = Annotated[int | None, typer.Option(help="Train for so many steps.")]
Epochs = Annotated[
    float | None, typer.Option(help="Train for so many passes over the text, such as 2.5.")
]
RunName = Annotated[
    str | None,
    typer.Option(help="Name of the run [default: TEXT-PRESET, or TEXT-RUN with --from]."),
]
Extend = Annotated[
    int | None, typer.Option(metavar="STEPS", help="Lengthen an existing run to so many steps.")
]
TokenizerSpec = Annotated[
    str | None, typer.Option(help="bpe, chars, bytes, gpt2 or a tokenizer.json [default: bpe].")
]
VocabSize = Annotated[
    int | None, typer.Option(help="Size of a trained BPE [default: the preset's].")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change any setting, as in n_layers=6; may be repeated.",
    ),
]
Seed = Annotated[int | None, typer.Option(help="Determines weights, order, dropout.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")]
Shard = Annotated[
    bool, typer.Option("--shard", help="Spread every parameter over the processes (FSDP2).")
]
Exact = Annotated[bool, typer.Option("--exact", help="The same bits from any number of processes.")]
RunsFolder = Annotated[Path, typer.Option("--runs", help="Where runs are.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print the result only.")]


@app.command("train", cls=grouped(GROUPS))
@takes(READING, before="runs_folder")
def train(
    context: typer.Context,
    texts: Texts = None,
    preset: Preset = None,
    base: Base = None,
    minutes: Minutes = None,
    steps: Steps = None,
    epochs: Epochs = None,
    run: RunName = None,
    extend: Extend = None,
    tokenizer: TokenizerSpec = None,
    vocab_size: VocabSize = None,
    set_: Assignments = None,
    seed: Seed = None,
    device: Device = None,
    shard: Shard = False,
    exact: Exact = False,
    *,
    runs_folder: RunsFolder = RUNS,
    data_folder: ShardFolder = None,
    as_json: AsJSON = False,
    **reading: Any,
) -> None:
    """Train a GPT on a text. The same command again goes on where it was stopped.

    Without a text it takes Shakespeare's plays. Ctrl-C saves and stops. --run NAME alone goes on
    with that run, as `groundup resume NAME` does.
    """
    from groundup.config import GPTConfig, TrainConfig, build, parse_assignments

    _check_run_name(run)
    if run is not None and _given(context) <= RESUMING:
        from groundup.runs import RunFolder

        if (folder := RunFolder(runs_folder / run)).exists():
            _resume_run(folder, extend, as_json)
            return
    _check_base(base, {"--preset": preset, "--tokenizer": tokenizer, "--vocab-size": vocab_size})
    model_changes, settings = parse_assignments(set_ or [], GPTConfig, TrainConfig)
    given: dict[str, Any] = {"steps": steps, "minutes": minutes, "epochs": epochs}
    given |= {"seed": seed, "device": device}
    settings |= {key: value for key, value in given.items() if value is not None}
    settings |= {name: "on" for name, on in (("shard", shard), ("exact", exact)) if on}
    _check_length(settings, is_lengthened=extend is not None)
    if vocab_size is not None:
        model_changes["vocab_size"] = vocab_size
    config = build(TrainConfig, settings)  # refused before what reads texts and runs is loaded
    shards = shard_folder(data_folder)
    from groundup.runs.find import find_run
    from groundup.train.request import (
        DEFAULT_CORPUS,
        DEFAULT_PRESET,
        DEFAULT_TOKENIZER,
        TrainRequest,
    )

    _carry_out(
        TrainRequest(
            sources=tuple(texts or (DEFAULT_CORPUS,)),
            preset=DEFAULT_PRESET if preset is None else preset,
            base=None if base is None else find_run(base, runs_folder),
            model_changes=model_changes,
            train=config,
            tokenizer=DEFAULT_TOKENIZER if tokenizer is None else tokenizer,
            text_options=_text_options(reading),
            run=run,
            extend=extend,
            command=shlex.join(["groundup", *sys.argv[1:]]),
            own_process=True,
            runs_folder=runs_folder,
            data_folder=shards,
        ),
        as_json,
    )


def _check_run_name(run: str | None) -> None:
    if run is not None and (run in ("", "..") or Path(run).name != run):
        raise UsageError(
            f"--run {shlex.quote(run)}: expected a name without slashes; choose its folder by "
            "--runs"
        )


def _check_base(base: Path | None, fixed: dict[str, object]) -> None:
    """Refuse flags for what is `fixed` by the model that is trained on from."""
    given = [flag for flag, value in fixed.items() if value is not None]
    if base is not None and given:
        raise UsageError(
            f"{given[0]} with --from {base}: that model has its own; leave out one of the two"
        )


def _text_options(reading: dict[str, Any]) -> dict[str, Any]:
    """Return how the text is read, as run.toml records it: an end of text only where given."""
    options = reading | {"include": reading["include"] or []}
    if options["end_of_text"] is None:
        del options["end_of_text"]
    return options


def _check_length(settings: dict[str, Any], is_lengthened: bool) -> None:
    """Refuse two lengths; a new run without any takes `DEFAULT_MINUTES`."""
    if {"steps", "epochs"} <= settings.keys():
        raise UsageError(
            f"steps = {settings['steps']} with epochs = {settings['epochs']}: passes over the text "
            "are a number of steps too; leave out one of the two"
        )
    if not {"steps", "epochs"} & settings.keys() and not is_lengthened:
        settings.setdefault("minutes", DEFAULT_MINUTES)


@verb(app, "resume")
def resume(run: Run, extend: Extend = None, as_json: AsJSON = False) -> None:
    """Go on with a run where it was stopped.

    Its text, its settings and its base are in its own record: nothing else need be said.
    """
    from groundup.runs import RunFolder

    _resume_run(RunFolder(run), extend, as_json)


def _given(context: typer.Context) -> set[str]:
    """Return the names of the parameters that the user has given."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _resume_run(folder: RunFolder, extend: int | None, as_json: bool) -> None:
    from groundup.train.request import recorded_request

    _carry_out(recorded_request(folder, extend=extend, own_process=True), as_json)


def _carry_out(request: TrainRequest, as_json: bool) -> None:
    """Train as requested, show it, and end the process as a signal asks for."""
    from rich.console import Console

    from groundup.processes.launch import place

    if (own := place()) is None:  # several processes refuse together, once they have met
        request.check()

    # What torch's C++ warns of is not for users, or said by us; it reads this once.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from groundup.train import ConsoleScreen, Recorder, drive
    from groundup.train.pretraining import Pretraining

    screen = ConsoleScreen(Console(quiet=as_json, highlight=False))
    try:
        with Requests() as requests:
            job, keeper = Pretraining(request), Recorder(request.folder)
            outcome = drive(job, keeper, screen, STARTED, requests)
    finally:
        screen.close()
    if own is None or own.rank == 0:  # the others may be done while the first still writes the run
        if as_json:
            print(json.dumps(_result(outcome)))
        else:
            _print_end(screen, outcome)
    if outcome.signal is not None and not outcome.progress.finished:
        raise typer.Exit(128 + outcome.signal)


def _result(outcome: TrainRun) -> dict[str, Any]:
    from dataclasses import asdict

    return {"run": str(outcome.folder.path), **asdict(outcome.progress)}


def _print_end(screen: ConsoleScreen, outcome: TrainRun) -> None:
    """Print how the run ended, a sample of a finished model, and commands that may come next."""
    from groundup.runs import read_lines
    from groundup.runs.record import read_run

    path, progress = outcome.folder.path, outcome.progress
    if words := read_run(path).verdict:
        screen.line("Curves", words)
    if not progress.finished:
        saved = f"saved at step {progress.step:,}; the same command goes on, or 'groundup resume"
        saved += f" {path}'"
        screen.line("Stopped", saved, "yellow")
        return
    prompt = "".join(sample["prompt"] for sample in list(read_lines(outcome.folder.samples))[-1:])
    if outcome.was_finished:
        screen.line("Finished", f"{path} was finished already, at step {progress.step:,}")
    else:
        _print_sample(screen, outcome, prompt or " ")
    first_words = prompt.partition("\n")[0] or "The"
    generate = ("generate", str(path), first_words, "--temperature", "0.7")
    print_command(screen.console, "Next", "groundup", *generate)
    print_command(screen.console, "", "groundup", "chat", str(path))
    print_command(screen.console, "", "open", str(outcome.folder.report))


def _print_sample(screen: ConsoleScreen, outcome: TrainRun, prompt: str) -> None:
    from groundup.generate import generate
    from groundup.runs.load import load

    settings: dict[str, Any] = {"max_tokens": 200, "temperature": 0.7, "top_p": 0.9, "seed": 1}
    try:
        loaded = load(outcome.folder.path)
        text = generate(loaded.model, loaded.tokenizer, prompt, **settings)
    except GroundupError as error:  # a model that diverged was trained and saved all the same
        screen.notice(str(error))
        return
    screen.line("It writes", "at temperature 0.7 and top-p 0.9, from its best checkpoint:")
    screen.sample(loaded.step, prompt, text, lines=24)
