"""`groundup train`: from a text to a trained model, or on from where it was stopped."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from groundup.base.errors import UsageError
from groundup.base.file_names import RUNS
from groundup.cli.app import app, verb
from groundup.cli.data import ShardFolder, shard_folder
from groundup.cli.groups import grouped
from groundup.cli.options import READING, takes
from groundup.cli.run_names import Run, preset_names, run_names
from groundup.cli.training import check_run_name, go_on, pretrain

RESUMING = {"run", "runs_folder", "data_folder", "extend", "as_json"}
"""With no other argument an existing run goes on: these say nothing about what it trains."""

GROUPS = {
    "The model": "preset base method tokenizer vocab_size set_",
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
        help="pico, nano, micro, mini, gpt2-nano, gpt2-124m, … [default: nano, of fewer layers "
        "where there are less than 10 minutes]",
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
Method = Annotated[
    str | None,
    typer.Option(
        help="full (every weight learns), lora or dora (adapters beside those of --from) "
        "[default: full]."
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
TrustPaths = Annotated[
    bool,
    typer.Option("--trust-paths", help="Read all that its record names, now and later."),
]
RunsFolder = Annotated[Path, typer.Option("--runs", help="Where runs are.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print the result only.")]


@app.command("train", cls=grouped(GROUPS))
@takes(READING, before="runs_folder")
def train(
    context: typer.Context,
    texts: Texts = None,
    preset: Preset = None,
    base: Base = None,
    method: Method = None,
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

    check_run_name(run)
    if run is not None and _given(context) <= RESUMING:
        from groundup.runs import RunFolder

        if (folder := RunFolder(runs_folder / run)).exists():
            go_on(folder, extend, data_folder and shard_folder(data_folder), as_json)
            return
    _check_base(base, {"--preset": preset, "--tokenizer": tokenizer, "--vocab-size": vocab_size})
    model_changes, settings = parse_assignments(set_ or [], GPTConfig, TrainConfig)
    given: dict[str, Any] = {"steps": steps, "minutes": minutes, "epochs": epochs}
    given |= {"seed": seed, "device": device, "method": method}
    settings |= {key: value for key, value in given.items() if value is not None}
    settings |= {name: "on" for name, on in (("shard", shard), ("exact", exact)) if on}
    _check_length(settings, is_lengthened=extend is not None)
    if vocab_size is not None:
        model_changes["vocab_size"] = vocab_size
    config = build(TrainConfig, settings)  # refused before what reads texts and runs is loaded
    shards = shard_folder(data_folder)
    from groundup.config.recipe import DEFAULT_PRESET
    from groundup.runs.find import find_run
    from groundup.train.request import DEFAULT_CORPUS, DEFAULT_TOKENIZER, TrainRequest

    request = TrainRequest(
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
    )
    is_open = preset is None and base is None
    pretrain(request.with_layers_for_its_time() if is_open else request, as_json)


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
    from groundup.config.recipe import DEFAULT_MINUTES, check_one_length

    check_one_length(settings)
    if not {"steps", "epochs"} & settings.keys() and not is_lengthened:
        settings.setdefault("minutes", DEFAULT_MINUTES)


@verb(app, "resume")
def resume(
    run: Run,
    extend: Extend = None,
    data_folder: ShardFolder = None,
    trust_paths: TrustPaths = False,
    as_json: AsJSON = False,
) -> None:
    """Go on with a run where it was stopped.

    Its text, its settings and its base are in its own record: nothing else need be said. A run of
    others, or from another machine, reads only what is in the folder you are in.
    """
    from groundup.processes.launch import is_first
    from groundup.runs import RunFolder

    folder = RunFolder(run)
    if trust_paths:
        from groundup.runs.own import allow, await_allowed

        (allow if is_first() else await_allowed)(folder)
    go_on(folder, extend, data_folder and shard_folder(data_folder), as_json)


def _given(context: typer.Context) -> set[str]:
    """Return the names of the parameters that the user has given."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
