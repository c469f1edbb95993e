"""`groundup replay`: look into a batch that something was wrong with."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from groundup.cli.app import app, verb
from groundup.cli.options import AsJSON
from groundup.cli.printing import print_rows, print_text
from groundup.cli.run_names import Run

SHOWN = 5
CHARACTERS = 60


@verb(app, "replay")
def replay(
    run: Run,
    step: Annotated[
        int | None, typer.Option(help="Of which step [default: the latest kept].")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Look into a batch that something was wrong with.

    It goes through the model again: which text, which layer, how large a gradient.
    """
    from groundup.runs import RunFolder
    from groundup.train.kept import kept_batch

    folder = RunFolder(run)
    kept_batch(folder, step)
    from groundup.finetune.replay import JOBS
    from groundup.runs.load import run_tokenizer
    from groundup.train.replay import replay as put_through
    from groundup.train.replay import worst

    found = put_through(run, step, JOBS)
    if as_json:
        values = {key: value for key, value in vars(found).items() if key != "tokens"}
        print(json.dumps(values | {"tokens": found.tokens.tolist()}))
        return
    tokenizer = run_tokenizer(folder, folder.read())
    print_text(f"Step {found.step:,}: {found.reason}")
    if found.not_finite:
        print_text(f"Parameters that are not finite: {', '.join(found.not_finite)}")
    where = f"first in {found.first}" if found.first else "nowhere in the forward pass"
    print_text(f"Numbers break {where}")
    rows = []
    for i in worst(found, SHOWN):
        text = " ".join(tokenizer.decode(found.tokens[i].flatten().tolist()).split())[:CHARACTERS]
        rows.append([str(i), f"{found.losses[i]:.4g}", f"{found.norms[i]:.4g}", text])
    print_rows("Worst sequences", ["sequence", "loss", "gradient norm", "text"], rows)
