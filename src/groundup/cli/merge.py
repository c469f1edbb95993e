"""`groundup merge`: a run that learnt beside another, made whole."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from groundup.cli.app import app, verb
from groundup.cli.options import AsJSON, Which
from groundup.cli.printing import say, suggest
from groundup.cli.quantize import quantize
from groundup.cli.run_names import Run, check_run


@verb(app, "merge")
def merge(
    run: Run,
    to: Annotated[
        Path | None,
        typer.Option(help="The run folder to make [default: RUN-merged, or RUN-int8, RUN-int4]."),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(help="8 or 4: merge in fp32, then quantise, and tell what that costs."),
    ] = None,
    checkpoint: Which = "best",
    as_json: AsJSON = False,
) -> None:
    """Put a run together with its base, adapters and all.

    What comes of it is a run folder that needs no other. Other verbs take RUN as it is, as long as
    its base is there.
    """
    from groundup.plan.units import mib
    from groundup.runs import RunFolder
    from groundup.runs.base import check_mergeable
    from groundup.runs.classifier import CLASSIFIER

    out = to or run.with_name(f"{run.resolve().name}-{'merged' if bits is None else f'int{bits}'}")
    manifest = check_mergeable(RunFolder(run), out)
    if bits is not None:
        quantize(run, bits=bits, to=out, checkpoint=checkpoint, as_json=as_json)
        return
    check_run(run, checkpoint, plain=False)
    from groundup.runs.merge import merge_run

    done = merge_run(run, out, checkpoint)
    if as_json:
        print(json.dumps(dataclasses.asdict(done), default=str))
        return
    say(
        "Merged",
        f"{done.path}: step {done.step:,} of {run} and {done.base}, {mib(done.size_bytes)}",
    )
    for notice in done.notices:
        say("Note", notice)
    verb = ("classify", done.path, "TEXT") if manifest.kind == CLASSIFIER else ("chat", done.path)
    suggest("Next", "groundup", *verb)
