"""Options that several verbs share, and the run that they name."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.base.errors import UsageError
from groundup.cli.app import Verb, tell
from groundup.cli.run_names import check_run
from groundup.cli.starting import without_collecting

if TYPE_CHECKING:
    from groundup.generate import SamplingConfig
    from groundup.runs.load import LoadedRun


Options = Mapping[str, tuple[Any, Any]]
"""Of each option: its type, annotated with what typer says of it in --help, and its default."""


def takes(options: Options, before: str) -> Callable[[Verb], Verb]:
    """Show typer these options of a verb that takes them as its `**` argument; --help lists them
    before the option `before`."""
    kind = inspect.Parameter.KEYWORD_ONLY
    listed = [
        inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]

    def show(verb: Verb) -> Verb:
        signature = inspect.signature(verb, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for own in signature.parameters.values():
            if own.kind is not inspect.Parameter.VAR_KEYWORD:
                parameters += [*listed, own] if own.name == before else [own]
        # What typer reads to make the command.
        verb.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return verb

    return show


def _sensible(param: typer.CallbackParam, value: Any) -> Any:
    """Return the value of a setting of how a model writes, or refuse it before torch is loaded."""
    if value is not None:
        from groundup.config.sampling import SamplingConfig

        SamplingConfig(**{str(param.name): value})
    return value


_sampling = functools.partial(typer.Option, callback=_sensible)
SAMPLING: Options = {
    "max_tokens": (Annotated[int, _sampling(help="Most tokens to write.")], 200),
    "temperature": (
        Annotated[
            float | None,
            _sampling(help="0 is greedy, above 1 is wild; the run's own, or 0.8; of answers, 0.3."),
        ],
        None,
    ),
    "top_k": (
        Annotated[
            int | None,
            _sampling(help="Choose among the k likeliest tokens; the run's own, or 0 (off)."),
        ],
        None,
    ),
    "top_p": (
        Annotated[
            float | None,
            _sampling(help="Choose among the likeliest with this share; likewise, or 1."),
        ],
        None,
    ),
    "min_p": (
        Annotated[
            float | None,
            _sampling(help="Drop tokens below this fraction of the best; likewise, or 0."),
        ],
        None,
    ),
    "repetition_penalty": (
        Annotated[float | None, _sampling(help="Above 1 repeats less; likewise, or 1 (off).")],
        None,
    ),
    "seed": (
        Annotated[int | None, _sampling(help="Write the same again; a new seed without it.")],
        None,
    ),
    "stop": (
        Annotated[list[str] | None, _sampling(help="End before this text; may be repeated.")],
        None,
    ),
    "lookup": (
        Annotated[
            bool,
            typer.Option(
                "--lookup/--no-lookup",
                help="Guess ahead where a text repeats itself: the same text, sooner.",
            ),
        ],
        True,
    ),
}
"""How a model writes."""
READING: Options = {
    "include": (
        Annotated[
            list[str] | None,
            typer.Option(
                metavar="PATTERN",
                help="Read these files of a folder too, as plain text: '*.py'; may be repeated.",
            ),
        ],
        None,
    ),
    "text_field": (
        Annotated[str | None, typer.Option(help="Which field of a record is text.")],
        None,
    ),
    "on_bad_record": (
        Annotated[
            str, typer.Option(help="A broken record, or no string for a text: stop or skip.")
        ],
        "stop",
    ),
    "split_on": (Annotated[str | None, typer.Option(help="Cut files into documents here.")], None),
    "encoding": (Annotated[str, typer.Option(help="Of the text files.")], "utf-8"),
    "unknown": (Annotated[str, typer.Option(help="Unseen characters: error or skip.")], "error"),
    "end_of_text": (
        Annotated[
            str | None,
            typer.Option(help="The token that ends a document: its text or id [default: found]."),
        ],
        None,
    ),
}
"""How a text is read."""
System = Annotated[str, typer.Option(help="What the model is told first, as its system message.")]
Which = Annotated[str, typer.Option("--checkpoint", help="best, latest or a step number.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print it for a program.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or mps.")]
Compiled = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile what reads a token, once for all models of a shape; needs g++ or the like.",
    ),
]


def load_run(run: Path, checkpoint: str, device: str, compiled: bool = False) -> LoadedRun:
    """Load a run, perhaps compiled, with a notice on standard error of what is damaged."""
    check_run(run, checkpoint, device)
    with without_collecting():
        import torch

        from groundup.runs.load import load

    devices = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not devices.get(device):
        usable = ", ".join(name for name, there in devices.items() if there)
        raise UsageError(f"--device {device}: not on this machine; expected {usable}")
    loaded = load(run, checkpoint, device)
    for notice in loaded.notices:
        tell(f"{notice}; using step {loaded.step}")
    if compiled:
        from groundup.generate.compiled import compile_decoding

        compile_decoding(loaded.model, tell)
    return loaded


def sampling_line(run: LoadedRun, sampling: SamplingConfig, asked: Mapping[str, Any]) -> str:
    """Say how tokens are chosen and who said so; filters that are off are left out."""
    from groundup.generate import SamplingConfig
    from groundup.generate.run_settings import NUMBERS

    def source(name: str) -> str:
        if asked.get(name) is not None:
            return ""
        return " (the model's own)" if name in run.generation else " (the model names none)"

    off = {name: getattr(SamplingConfig(), name) for name in NUMBERS if name != "temperature"}
    values = {name: getattr(sampling, name) for name in NUMBERS}
    named = [name for name in NUMBERS if values[name] != off.get(name)]
    groups = itertools.groupby(named, source)
    return "Sampling: " + ", ".join(
        ", ".join(f"{name} {values[name]:g}" for name in names) + who for who, names in groups
    )
