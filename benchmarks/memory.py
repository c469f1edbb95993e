"""Memory, planned and measured: a few steps of real commands, each in a process of its own.

    python -m benchmarks.memory --work memory/     # some minutes; repeated, it goes on

What is planned follows from a run's run.toml, by the arithmetic of this checkout; the most that its
process held (preparing and validating included) stands in the last line of its metrics.jsonl. A run
that was measured is left as it is: remove its folder in WORK/runs to measure it anew. Some of them
then write, also in 8 and 4 bits, after prompts that nearly fill their context.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path

from benchmarks.report import made, store, this_machine
from benchmarks.turns import ROOT, Record, timed_process
from groundup.config import GPTConfig, TrainConfig
from groundup.plan import generation_memory, training_memory
from groundup.tokenizer import load_tokenizer

PAGE = ROOT / "docs" / "plan.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
WIDER = ("emb_dim=384", "n_heads=6", "n_layers=4", "ffn_dim=1536", "context_length=256")
"""Of 16 MB in fp32 and more, so that not all is the process."""
LONGER = ("emb_dim=256", "n_heads=4", "n_layers=4", "context_length=2048", "batch_size=2")
CASES: dict[str, tuple[str, ...]] = {
    "the default demo": ("n_layers=3",),
    "nano": (),
    "nano, batches of 1": ("batch_size=1",),
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
WRITERS = [
    ("the default demo", "fp32", 1),
    ("4 wider layers under a cap", "fp32", 1),
    ("8 experts", "fp32", 1),
    *(("a vocabulary of 50,000", form, n) for form in ("fp32", "int8", "int4") for n in (1, 8)),
]
"""Which of them write: in which format, and to how many prompts at once."""


def measure(work: Path, steps: int, threads: int) -> list[Record]:
    """Train every case that is not there, and let each write; return a row a case."""
    rows = []
    for title, settings in CASES.items():
        name = name_of(title)
        if not measured(work / "runs" / name):
            sets = [f"--set={one}" for one in (f"threads={threads}", "precision=fp32", *settings)]
            command = [sys.executable, "-m", "groundup", "train", "shakespeare", "--run", name]
            timed_process([*command, "--steps", str(steps), "--seed=1", *sets], work, threads)
        rows.append({"title": title, **measured(work / "runs" / name)})
        print(line(rows[-1]), flush=True)
    for writer in WRITERS:
        rows.append(writing(*writer, work, threads))
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


def name_of(title: str) -> str:
    return title.replace(" ", "-").replace(",", "")


def writing(title: str, form: str, n_texts: int, work: Path, threads: int) -> Record:
    """Let a run go on after prompts that all but fill its context; return its row."""
    run, groundup = f"runs/{name_of(title)}", [sys.executable, "-m", "groundup"]
    config = GPTConfig(**tomllib.loads((work / run / "run.toml").read_text())["model"])
    if form != "fp32":
        narrow = f"{run}-{form}"
        if not (work / narrow).exists():
            timed_process([*groundup, "quantize", run, f"--bits={form[3:]}", "--to", narrow],
                          work, threads)  # fmt: skip
        run = narrow
    words = [run, *prompts(work / run, config.context_length - 16, n_texts)]
    command = [*groundup, "generate", *words, "--max-tokens=16", "--seed=1"]
    peak = timed_process(command, work, threads)["peak_memory_mib"]
    planned = generation_memory(config, n_texts, form).total / 2**20
    texts = f" {n_texts} texts at once" if n_texts > 1 else ""
    how = "" if form == "fp32" else f" in {form}"
    return {"title": f"{title}, writing{texts}{how}", "planned": planned, "measured": peak}


def prompts(run: Path, length: int, n_texts: int) -> list[str]:
    """Return texts of about so many tokens, which begin differently."""
    tokenizer = load_tokenizer(run / "tokenizer.json")
    ids = tokenizer.encode((ROOT / "docs" / "book.md").read_text(encoding="utf-8"))
    return [tokenizer.decode(ids[n * length : (n + 1) * length]) for n in range(n_texts)]


def line(row: Record) -> str:
    """Return a row of the table."""
    planned, peak = row["planned"], row["measured"]
    return f"| {row['title']} | {planned:,.0f} | {peak:,.0f} | {planned / peak - 1:+.0%} |"


def publish(result: Record, options: argparse.Namespace) -> None:
    """Write the rows as JSON, and their table between the marks of docs/plan.md."""
    path = store("memory", result, options)
    table = ["| | planned, MiB | measured | |", "|---|---|---|---|", *map(line, result["rows"])]
    table += ["", made(json.loads(path.read_text(encoding="utf-8")), path)]
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
    parser.set_defaults(out=None)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = measure(options.work.resolve(), options.steps, options.threads)
    if not options.print:
        facts = {"threads": options.threads, "steps": options.steps, "machine": this_machine()}
        publish({**facts, "rows": rows}, options)


if __name__ == "__main__":
    main()
