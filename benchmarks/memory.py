"""Memory, planned and measured: a few steps of real commands, each in a process of its own.

    python -m benchmarks.memory --work memory/     # some minutes; repeated, it goes on

What is planned follows from a run's run.toml, by the arithmetic of this checkout; the most that its
process held (preparing and validating included) stands in the last line of its metrics.jsonl. A run
that was measured is left as it is: remove its folder in WORK/runs to measure it anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path

from benchmarks.turns import ROOT, Record, environment, timed_process
from groundup.config import GPTConfig, TrainConfig
from groundup.plan import training_memory

PAGE = ROOT / "docs" / "plan.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
WIDER = ("emb_dim=384", "n_heads=6", "n_layers=4", "ffn_dim=1536", "context_length=256")
"""Of 16 MB in fp32 and more, so that not all is the process."""
LONGER = ("emb_dim=256", "n_heads=4", "n_layers=4", "context_length=2048", "batch_size=2")
CASES: dict[str, tuple[str, ...]] = {
    "the default demo": (),
    "the same, batches of 1": ("batch_size=1",),
    "scores under a cap": ("attention_softcap=50", "context_length=256"),
    "4 wider layers": WIDER,
    "4 wider layers, batches of 32": (*WIDER, "batch_size=32"),
    "4 wider layers under a cap": (*WIDER, "attention_softcap=50"),
    "a vocabulary of 50,000": (*WIDER, "vocab_size=50000"),
    "8 experts": (*WIDER, "n_experts=8", "n_active_experts=2"),
    "bf16": (*WIDER, "precision=bf16"),
    "plain loss": (*WIDER, "loss=plain"),
    "activations checkpointed": (*WIDER, "checkpoint_activations=on"),
    "a context of 2,048": LONGER,
    "a context of 2,048, a window of 256": (*LONGER, "window=256"),
    "a context of 2,048 under a cap": (*LONGER, "attention_softcap=50"),
}
"""Settings beside those of `groundup train`."""


def measure(work: Path, steps: int, threads: int) -> list[Record]:
    """Train every case that is not there, and let each write; return a row a case."""
    rows = []
    for title, settings in CASES.items():
        name = title.replace(" ", "-").replace(",", "")
        if not measured(work / "runs" / name):
            sets = [f"--set={one}" for one in (f"threads={threads}", "precision=fp32", *settings)]
            command = [sys.executable, "-m", "groundup", "train", "shakespeare", "--run", name]
            timed_process([*command, "--steps", str(steps), "--seed=1", *sets], work, threads)
        rows.append({"title": title, **measured(work / "runs" / name)})
        print(line(rows[-1]), flush=True)
    for title in ("the default demo", "4 wider layers under a cap", "a vocabulary of 50,000"):
        rows.append(writing(title, work, threads))
        print(line(rows[-1]), flush=True)
    return rows


def measured(folder: Path) -> Record:
    """Return what was planned and measured of a run (MiB), nothing where it is not finished."""
    path = folder / "metrics.jsonl"
    last = json.loads(path.read_text().splitlines()[-1]) if path.exists() else {}
    if "peak_memory_mib" not in last:
        return {}
    made = tomllib.loads((folder / "run.toml").read_text())
    plan = training_memory(GPTConfig(**made["model"]), TrainConfig(**made["train"]))
    return {"planned": plan.total / 2**20, "measured": last["peak_memory_mib"]}


def writing(title: str, work: Path, threads: int) -> Record:
    """Let a run read and write as much as its context holds; return its row."""
    folder = f"runs/{title.replace(' ', '-').replace(',', '')}"
    model = tomllib.loads((work / folder / "run.toml").read_text())["model"]
    shape = [f"--set={key}={json.dumps(model[key]).strip(chr(34))}" for key in model]
    plan = [sys.executable, "-m", "groundup", "plan", "nano", *shape, "--json"]
    done = subprocess.run(plan, env=environment(threads), check=True, capture_output=True)
    planned = json.loads(done.stdout)["generation_memory_bytes"]["total"] / 2**20
    words = [folder, "A", "--max-tokens", str(model["context_length"] - 2), "--seed=1"]
    command = [sys.executable, "-m", "groundup", "generate", *words]
    peak = timed_process(command, work, threads)["peak_memory_mib"]
    return {"title": f"{title}, writing", "planned": planned, "measured": peak}


def line(row: Record) -> str:
    """Return a row of the table."""
    planned, peak = row["planned"], row["measured"]
    return f"| {row['title']} | {planned:,.0f} | {peak:,.0f} | {planned / peak - 1:+.0%} |"


def publish(rows: list[Record]) -> None:
    """Put the table between the marks of docs/plan.md."""
    table = ["| | planned, MiB | measured | |", "|---|---|---|---|", *map(line, rows)]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    body = "\n".join(table)
    PAGE.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--steps", type=int, default=12, help="training steps of each")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each")
    parser.add_argument("--print", action="store_true", help="leave docs/plan.md as it is")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = measure(options.work.resolve(), options.steps, options.threads)
    if not options.print:
        publish(rows)


if __name__ == "__main__":
    main()
