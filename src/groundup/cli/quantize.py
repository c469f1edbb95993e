"""`groundup quantize`: a model in fewer bits, if it stays as good."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.base.errors import UsageError
from groundup.cli.app import app, verb
from groundup.cli.evaluate import evaluate_validation
from groundup.cli.options import AsJSON, Which
from groundup.cli.printing import say, suggest
from groundup.cli.run_names import Run, check_run
from groundup.cli.standard_io import read_text

if TYPE_CHECKING:
    from groundup.runs.load import LoadedRun

MEASURED_TOKENS = 16_384


@verb(app, "quantize")
def quantize(
    run: Run,
    bits: Annotated[int, typer.Option(help="8 or 4.")] = 8,
    to: Annotated[
        Path | None, typer.Option(help="The run folder to make [default: RUN-int8, RUN-int4].")
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="A text to measure on instead of its own; - reads standard input."),
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            help="Most that the loss may grow [default: 0.5 in 8 bits, 2 in 4].",
        ),
    ] = None,
    checkpoint: Which = "best",
    as_json: AsJSON = False,
) -> None:
    """Make a model smaller and faster, in 8 or 4 bits.

    What comes of it is a run folder. It is measured beside the original on the run's validation
    text (an assistant on the replies that validate it), and not kept where its loss grows too much.
    """
    from groundup.plan.units import mib
    from groundup.runs import RunFolder
    from groundup.runs.quantizable import check_quantizable

    if limit is not None and not limit >= 0:
        raise UsageError(f"--limit {limit}: expected a percentage of 0 or more")
    out = to or run.with_name(f"{run.resolve().name}-int{bits}")
    check_quantizable(RunFolder(run), RunFolder(out), bits)
    check_run(run, checkpoint)
    words = None if text is None else read_text(text)
    from groundup.generate.quantize import quantize_run

    done = quantize_run(
        run,
        out,
        bits,
        lambda loaded: _loss(run, loaded, words),
        limit=None if limit is None else limit / 100,
        checkpoint=checkpoint,
    )
    if as_json:
        print(json.dumps(dataclasses.asdict(done), default=str))
        return
    before, after = mib(done.size_bytes), mib(done.quantized_bytes)
    say("Quantized", f"{done.path}: {bits} bits, {after} instead of {before}")
    say("Vectors", f"in {done.vector_bits} bits")
    say("Loss", f"{done.loss:.4f} before, {done.quantized_loss:.4f} now: {done.growth:+.3%}")
    for notice in done.notices:
        say("Note", notice)
    talks = RunFolder(done.path).read_chat_template() is not None
    suggest("Next", "groundup", "chat" if talks else "generate", done.path)


def _loss(run: Path, loaded: LoadedRun, text: str | None) -> float:
    """Return a model's loss on a text, or on about `MEASURED_TOKENS` of its validation text."""
    from groundup.evaluate import Candidate, evaluate_text

    if text is not None:
        return evaluate_text(Candidate.from_run(loaded), text).loss
    return evaluate_validation(run, loaded, MEASURED_TOKENS, instead="--text FILE").loss
