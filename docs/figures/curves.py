"""Draw the loss curves of two real runs for docs/training.md.

    python docs/figures/curves.py

trains a small model twice, for some minutes together: on all of the default text, and on
20,000 characters of it for far too long. It writes `learning.svg` and `overfitting.svg` beside this
file and prints what the report says of each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from groundup.data import corpus_files
from groundup.report.charts import Chart
from groundup.report.drawing import drawing
from groundup.report.sections import loss_series
from groundup.runs.record import read_run

HERE = Path(__file__).parent
SMALL = 20_000
COMMON = ["--preset", "pico", "--tokenizer", "bytes", "--set", "n_layers=2", "--set", "threads=1"]
COMMON += ["--set", "sample_tokens=0", "--seed", "1"]
RUNS = {
    "learning": ["--steps", "400", "--set", "eval_every=20"],
    "overfitting": ["--steps", "400", "--set", "eval_every=20"],
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = next(iter(sorted(corpus_files("shakespeare").glob("*.txt")))).read_text("utf-8")
        small = Path(folder) / "small.txt"
        small.write_text(text[:SMALL], "utf-8")
        for name, words in RUNS.items():
            source = "shakespeare" if name == "learning" else str(small)
            train = ["train", source, "--run", name, *COMMON, *words]
            subprocess.run(
                [sys.executable, "-m", "groundup", *train],
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                check=True,
                stdout=subprocess.DEVNULL,
            )
            run = read_run(Path(folder) / "runs" / name)
            series = [s for s in loss_series(run) if not s.reference]
            picture = drawing(Chart(title=f"Loss: {name}", series=series, y_label="nats per byte"))
            (HERE / f"{name}.svg").write_text(picture, "utf-8")
            print(f"{name}.svg: {run.verdict}")


if __name__ == "__main__":
    main()
