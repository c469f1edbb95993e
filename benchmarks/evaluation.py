"""Tasks beside lm-eval with transformers: is every choice the same, and who asks faster?

    python -m benchmarks.evaluation --run RUN --hf FOLDER --data FOLDER --python ENV/bin/python

`--hf` is what `groundup export` wrote of the run, `--python` that of an environment with
`lm-eval[hf]`, `--data` a folder of TASK.jsonl (`benchmarks.evaluation_data` makes one). Both sides
take turns, each turn a fresh process, over the very same documents and with the same threads.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.turns import ROOT, Record, call, environment, in_turns, middle

TASKS = "hellaswag,arc_easy,arc_challenge,piqa,winogrande,lambada"
CLOSE = 1e-4
"""A difference of two choices' log-likelihoods (or of those a character) below which neither is
the likelier one: rounding decides."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation")
    parser.add_argument("--run", type=Path, required=True, help="the run folder")
    parser.add_argument("--hf", type=Path, required=True, help="its export for transformers")
    parser.add_argument("--data", type=Path, required=True, help="a folder of TASK.jsonl")
    parser.add_argument("--python", type=Path, required=True, help="a Python with lm-eval[hf]")
    parser.add_argument("--tasks", default=TASKS, help="commas between")
    parser.add_argument("--limit", type=int, default=1000, help="documents of each task")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each side")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side")
    parser.add_argument("--batch-size", type=int, default=16, help="sequences, for lm-eval")
    parser.add_argument("--batch-tokens", type=int, default=4096, help="tokens, for groundup")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="write the results there as JSON too")
    options = parser.parse_args()
    for name in ("run", "hf", "data"):
        setattr(options, name, getattr(options, name).resolve())
    return options


def measure(options: argparse.Namespace) -> list[Record]:
    """Return a record of each task: agreement, both sides' figures, and their speeds."""
    with tempfile.TemporaryDirectory() as folder:
        return [compare(options, task, Path(folder)) for task in options.tasks.split(",")]


def compare(options: argparse.Namespace, task: str, folder: Path) -> Record:
    """Let both sides run one task in turns."""
    with (options.data / f"{task}.jsonl").open(encoding="utf-8") as lines:
        kept = list(itertools.islice(lines, options.limit))
    (folder / f"{task}.jsonl").write_text("".join(kept), encoding="utf-8")
    job = {
        "task": task,
        "data": str(folder),
        "limit": None,
        "device": options.device,
        "threads": options.threads,
        "batch_tokens": options.batch_tokens,
        "batch_size": options.batch_size,
        "bootstrap": 0,
    }
    turns = in_turns(
        {
            f"{task} lm-eval": lambda _: harness(options, job | {"model": str(options.hf)}),
            f"{task} groundup": lambda _: call(
                "benchmarks.evaluation", job | {"model": str(options.run)}, options.threads
            ),
        },
        options.rounds,
    )
    theirs, ours = turns.values()
    n = len(ours[0]["documents"])
    pairs = list(zip(theirs, ours, strict=True))
    return {
        "task": task,
        "documents": n,
        "lm_eval": theirs[0]["figures"],
        "groundup": ours[0]["figures"],
        **agreement(theirs[0]["documents"], ours[0]["documents"], ours[0]["lengths"]),
        "lm_eval_documents_per_second": middle(n / t["seconds"] for t in theirs),
        "groundup_documents_per_second": middle(n / o["seconds"] for o in ours),
        "speed_ratio": middle(t["seconds"] / o["seconds"] for t, o in pairs),
        "cpu_time_ratio": middle(t["cpu_seconds"] / o["cpu_seconds"] for t, o in pairs),
    }


def harness(options: argparse.Namespace, job: Record) -> Record:
    """Run one turn of lm-eval in its own environment."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [options.python, ROOT / "benchmarks" / "peers" / "harness.py", json.dumps(job)],
            env=environment(options.threads) | offline | {"HF_DATASETS_CACHE": cache},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise SystemExit(f"lm-eval {job}:\n{done.stderr[-4000:]}")
    record: Record = json.loads(done.stdout.splitlines()[-1])
    return record


def agreement(theirs: list[Record], ours: list[Record], lengths: list[list[int]]) -> Record:
    """Count choices that differ, apart from those between values that are `CLOSE`."""
    if [d["document"] for d in theirs] != [d["document"] for d in ours]:
        raise SystemExit("the two sides were not asked the same documents")
    found = {"different": 0, "close": 0, "largest_difference": 0.0}
    for their, our, characters in zip(theirs, ours, lengths, strict=True):
        pair = (their["log_likelihoods"], our["log_likelihoods"])
        gap = max(abs(t - o) for t, o in zip(*pair, strict=True))
        found["largest_difference"] = max(found["largest_difference"], gap)
        found["different"] += their["greedy"] != our["greedy"]
        for divisors in ([1] * len(characters), characters):
            values = [[x / (n or 1) for x, n in zip(side, divisors, strict=True)] for side in pair]
            if values[0].index(max(values[0])) != values[1].index(max(values[1])):
                found["close" if margin(values[1]) < CLOSE else "different"] += 1
    return found


def margin(values: list[float]) -> float:
    """Return how far the best value is ahead."""
    best, *others = sorted(values, reverse=True)
    return best - others[0] if others else 0.0


def turn(job: Record) -> Record:
    """Run a task with groundup; the clock covers what lm-eval's covers."""
    import torch

    from groundup.evaluate import Candidate, evaluate_task, read_questions
    from groundup.runs.load import load

    torch.set_num_threads(job["threads"])
    loaded = load(job["model"], device=job["device"])
    candidate = Candidate.from_run(loaded)
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.jsonl"
        begun, worked = time.perf_counter(), time.process_time()
        labels, questions = read_questions(job["task"], Path(job["data"]), job["limit"])
        result = evaluate_task(
            candidate,
            job["task"],
            questions,
            labels=labels,
            journal=journal,
            batch_tokens=job["batch_tokens"],
        )
        seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - worked
        records = [json.loads(line) for line in journal.read_text().splitlines()]
    documents = [
        {
            "document": record["document"],
            "log_likelihoods": record["log_likelihoods"],
            "greedy": record["greedy"],
        }
        for record in records
        if "document" in record
    ]
    documents.sort(key=lambda document: int(document["document"]))
    figures = result.scores | {f"{m}_stderr": error for m, error in result.errors.items()}
    lengths = [question.lengths for question in questions]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "figures": figures,
        "documents": documents,
        "lengths": lengths,
    }


def show(results: list[Record]) -> None:
    columns = ["task", "documents", "lm-eval", "groundup", "other choices (close)"]
    columns += ["documents/s", "ratio", "of CPU time"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for r in results:
        metrics = [m for m in r["groundup"] if not m.endswith("_stderr")]
        theirs, ours = (
            ", ".join(f"{m} {r[side][m]:.4f}" for m in metrics) for side in ("lm_eval", "groundup")
        )
        speeds = " : ".join(
            f"{r[f'{side}_documents_per_second']['median']:.2f}" for side in ("lm_eval", "groundup")
        )
        others = f"{r['different']} ({r['close']})"
        ratios = [f"{r[key]['median']:.2f}" for key in ("speed_ratio", "cpu_time_ratio")]
        cells = [r["task"], str(r["documents"]), theirs, ours, others, speeds, *ratios]
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        print(json.dumps(turn(json.loads(sys.argv[1]))))
        return
    options = parse()
    results = measure(options)
    show(results)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if any(r["different"] for r in results):
        sys.exit("choices differ where they should not")


if __name__ == "__main__":
    main()
