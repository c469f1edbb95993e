"""`groundup evaluate`: how good a model is on a text, and in public tasks."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.base.errors import UsageError
from groundup.base.words import counted
from groundup.cli.app import app, verb
from groundup.cli.options import AsJSON, Device, Which, load_run
from groundup.cli.printing import print_rows, print_text, progress_bar
from groundup.cli.run_names import Run, check_run
from groundup.cli.standard_io import read_text

if TYPE_CHECKING:
    from groundup.evaluate import Candidate, Evaluation, TaskResult, TextResult
    from groundup.evaluate.tasks import Question
    from groundup.finetune.assistant.reply_loss import ReplyLoss
    from groundup.runs.load import LoadedRun

    Questions = dict[str, tuple[list[str], list[Question]]]
    """Of each task: what names its documents in errors, and their questions."""

JOURNAL = "evaluations.jsonl"
TASKS_HELP = "Of lambada, hellaswag, arc_easy, arc_challenge, piqa, winogrande; commas between."


@verb(app, "evaluate")
def evaluate(
    run: Run,
    text: Annotated[Path | None, typer.Option(help="A text; - reads standard input.")] = None,
    stride: Annotated[
        int | None, typer.Option(help="Tokens the window moves on; half a context if not given.")
    ] = None,
    tasks: Annotated[str, typer.Option(help=TASKS_HELP)] = "",
    data: Annotated[
        Path | None, typer.Option(help="The tasks' documents: a folder, or a file for one task.")
    ] = None,
    hub: Annotated[
        bool, typer.Option("--hub", help="Fetch documents from the Hugging Face hub.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="Ask the first so many documents only.")] = None,
    output: Annotated[
        Path | None, typer.Option(help=f"Finished documents; RUN/{JOURNAL} if not given.")
    ] = None,
    batch_tokens: Annotated[int, typer.Option(help="Most tokens in the model at once.")] = 4096,
    checkpoint: Which = "best",
    device: Device = "cpu",
    as_json: AsJSON = False,
) -> None:
    """Say what a model is worth on a text or in tasks.

    The text is its own validation text unless another is given, of an assistant the replies that
    validate it; the tasks are public ones.
    """
    from groundup.config.fields import require

    names = _task_names(tasks, data, hub)
    for name, value in (("stride", stride), ("batch_tokens", batch_tokens)):
        require(value is None or value >= 1, name, value, "1 or more")
    if stride is not None and text is None:
        raise UsageError("--stride is how the window moves over --text; give one, or leave it out")
    check_run(run, checkpoint, device)
    words = None if text is None else read_text(text)
    questions = _questions(names, data, limit)
    loaded = load_run(run, checkpoint, device)
    report: dict[str, Any] = {"run": str(run), "step": loaded.step}
    if text is None and not names:
        kept_aside = evaluate_validation(run, loaded, instead="--text FILE or --tasks")
        report["validation"] = _show_validation(kept_aside, as_json)
    from groundup.evaluate import Candidate, evaluate_text

    candidate = Candidate.from_run(loaded) if words is not None or names else None
    if candidate and words is not None:
        with progress_bar("Text") as bar:
            result = evaluate_text(
                candidate, words, stride=stride, batch_tokens=batch_tokens, progress=bar
            )
        report["text"] = _show_text(result, as_json)
    if candidate and names:
        results = _evaluate_tasks(candidate, questions, output or run / JOURNAL, batch_tokens)
        report["tasks"] = _show_tasks(results, as_json)
    if as_json:
        print(json.dumps(_without_nan(report), indent=2))


def _without_nan(value: Any) -> Any:
    """Return a report without NaN and infinity, which JSON has no words for: they become null."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _task_names(tasks: str, data: Path | None, hub: bool) -> list[str]:
    """Return the tasks asked for, with a word for what is missing before anything is loaded."""
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    if names and (data is None) != hub:
        raise UsageError(
            f"--tasks {tasks}: where are the documents? give either --data FOLDER or --hub, which "
            "fetches them"
        )
    if data is not None and not data.exists():
        raise UsageError(f"--data {data}: no such file or folder; check the path")
    if data is not None and data.is_file() and len(names) > 1:
        raise UsageError(f"--data {data}: one file for {len(names)} tasks; give a folder of files")
    if (data is not None or hub) and not names:
        raise UsageError("--data and --hub are for tasks; name some with --tasks")
    return names


def evaluate_validation(
    run: Path, loaded: LoadedRun, max_tokens: int | None = None, *, instead: str
) -> Evaluation | ReplyLoss:
    """Evaluate on the run's validation text, or on `max_tokens` spread over it, with a bar.

    Of an assistant it is the replies that validate it. Where the run has none, the error names
    what to give `instead`.
    """
    from groundup.evaluate import evaluate_loss, validation_split
    from groundup.runs.assistant import ASSISTANT

    if loaded.manifest.kind == ASSISTANT:
        from groundup.finetune.assistant.reply_loss import evaluate_replies

        if (found := evaluate_replies(loaded, max_tokens)) is None:
            raise UsageError(f"{run} has no replies that validate it; give {instead}")
        return found
    with progress_bar("Validation") as bar:
        split = validation_split(loaded)
        if split is None:
            raise UsageError(f"{run} has no validation text of its own; give {instead}")
        return evaluate_loss(loaded.model, split, max_tokens=max_tokens, progress=bar)


def _questions(names: list[str], data: Path | None, limit: int | None) -> Questions:
    """Return the questions of each task; errors in them are found before torch is loaded."""
    from groundup.evaluate.task_files import read_questions

    return {name: read_questions(name, data, limit) for name in names}


def _evaluate_tasks(
    candidate: Candidate, questions: Questions, journal: Path, batch_tokens: int
) -> list[TaskResult]:
    from groundup.evaluate import evaluate_task

    results = []
    for name, (labels, asked) in questions.items():
        with progress_bar(name) as bar:
            result = evaluate_task(
                candidate,
                name,
                asked,
                labels=labels,
                journal=journal,
                batch_tokens=batch_tokens,
                progress=bar,
            )
        results.append(result)
    return results


def _show_validation(result: Evaluation | ReplyLoss, as_json: bool) -> dict[str, Any]:
    from groundup.evaluate import Evaluation

    if not as_json:
        rows = [*_figures(result), ["tokens predicted", f"{result.tokens:,}", ""]]
        title = "The run's validation text"
        if not isinstance(result, Evaluation):
            title = "The replies that validate the run: their losses are no text's"
        print_rows(title, ["figure", "value", ""], rows)
        print_text(_speed(result.tokens, result.seconds))
    return dataclasses.asdict(result) | _rate("tokens", result.tokens, result.seconds)


def _show_text(result: TextResult, as_json: bool) -> dict[str, Any]:
    if not as_json:
        rows = _figures(result)
        rows[0][2] = f"± {result.loss_stderr:.4f}, standard deviation {result.loss_std:.4f}"
        rows.append(["tokens predicted", f"{result.predicted:,}", f"of {result.tokens:,}"])
        rows.append(["bytes", f"{result.bytes:,}", ""])
        print_rows(
            f"Text, window moving by {counted(result.stride, 'token')}",
            ["figure", "value", ""],
            rows,
        )
        if result.predicted < result.tokens:
            print_text("The first token, which nothing precedes, is not predicted.")
        if not result.lossless:
            print_text("The tokenizer drops part of this text, which costs no bits here.")
        print_text(_speed(result.predicted, result.seconds))
    return dataclasses.asdict(result) | _rate("tokens", result.predicted, result.seconds)


def _figures(result: Evaluation | TextResult | ReplyLoss) -> list[list[str]]:
    rows = [["loss", f"{result.loss:.4f}", ""], ["perplexity", f"{result.perplexity:,.4f}", ""]]
    bits = getattr(result, "bits_per_byte", None)  # which replies do not have
    return rows if bits is None else [*rows, ["bits/byte", f"{bits:.4f}", ""]]


def _rate(what: str, count: int, seconds: float) -> dict[str, float]:
    return {f"{what}_per_second": count / seconds}


def _speed(tokens: int, seconds: float) -> str:
    from groundup.plan.units import duration

    return f"{duration(seconds)}, {tokens / seconds:,.0f} tokens/s"


def _show_tasks(results: list[TaskResult], as_json: bool) -> dict[str, Any]:
    if not as_json:
        rows = [
            [
                result.task,
                f"{result.documents:,}",
                metric,
                f"{_points(metric, result.scores[metric])}",
                f"± {_points(metric, result.errors[metric])}",
                f"{result.asked / result.seconds:,.1f}" if result.asked else "",
            ]
            for result in results
            for metric in result.scores
        ]
        columns = ["task", "documents", "metric", "figure", "", "documents/s"]
        print_rows("", columns, rows)
    return {
        result.task: dataclasses.asdict(result) | _rate("documents", result.asked, result.seconds)
        for result in results
    }


def _points(metric: str, value: float) -> str:
    """Show a share in percent, and anything else as it is."""
    return f"{value:,.2f}" if metric == "perplexity" else f"{100 * value:.2f}%"
