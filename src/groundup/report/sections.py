"""The parts of a run's report: figures, curves, samples, plan against measured, how to repeat."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from typing import Any

from groundup.base.words import counted
from groundup.plan.units import duration, passes
from groundup.plan.units import number as short
from groundup.report.charts import Chart, Series
from groundup.report.figure import chart_figure
from groundup.report.page import bar, cards, esc, figure, fold, table
from groundup.report.points import smooth, spread
from groundup.runs.assistant import ASSISTANT, DPO, GRPO, OF_PAIRS, objective_of
from groundup.runs.classifier import CLASSIFIER
from groundup.runs.folder import flatten
from groundup.runs.manifest import PRETRAINING, PlanTable
from groundup.runs.record import RunRecord, number

SHOWN_SAMPLES = 30
SHOWN_CHARACTERS = 3000


def header(run: RunRecord) -> str:
    """Return the title, what was trained on what, how far it came, and what went wrong."""
    steps = f"step {run.step:,}" + (f" of {run.steps:,}" if run.steps else "")
    progress = ""
    if run.steps and run.state != "finished":
        progress = (
            f'<progress max="{run.steps}" value="{run.step}" aria-label="{steps}"></progress>'
        )
    named = ", ".join(map(str, run.manifest.data.sources or []))
    what = "An assistant: a GPT" if run.manifest.kind == ASSISTANT else "A GPT"
    if (labels := _labels(run)) is not None:
        what = f"A classifier ({esc(', '.join(labels))}): a GPT"
    return (
        f'<h1>{esc(run.name)}</h1><p><span class="badge {run.state}">{run.state}</span> {steps}</p>'
        f"{progress}<p>{what} of {short(run.parameters)} parameters"
        f"{f', trained on {esc(named)}' if named else ''}.</p>{''.join(_alerts(run))}"
    )


def _alerts(run: RunRecord) -> Iterator[str]:
    """Say in words what the curves can only show as gaps."""
    for key, what in (("train_loss", "training loss"), ("val_loss", "validation loss")):
        bad = [x for x, y in run.points(key) if not math.isfinite(y)]
        if bad:
            yield (
                f'<p class="alert">The {what} was not a finite number in {len(bad):,} of its '
                f"lines, first at step {bad[0]:,.0f}. A smaller learning_rate usually helps.</p>"
            )


def key_figures(run: RunRecord) -> str:
    """Return the figures one asks for first."""
    best, tokens, seconds = run.best, run.last("tokens"), run.last("seconds")
    n, exactly = short(run.parameters), f"{run.parameters:,}"
    facts = [("Parameters", n, "" if n == exactly else f"exactly {exactly}")]
    if tokens:
        train_tokens = run.manifest.data.train_tokens
        what = "text" if run.manifest.kind == PRETRAINING else "records"
        read = passes(tokens / train_tokens, what) if train_tokens else ""
        facts.append(("Tokens learnt from", short(tokens), read))
    if best:
        choices = _choices(run)
        guessing = f"; guessing is {math.log(choices):.4g}" if choices else ""
        at = f"at step {best['step']:,}{guessing}"
        facts.append(("Best validation loss", figure(number(best["val_loss"])), at))
    if "val_loss" in run.last_event:
        loss = figure(number(run.last_event["val_loss"]))
        is_part = "val_tokens_most" in run.last_event
        part = f"{short(number(run.last_event.get('val_tokens')))} tokens spread over the split"
        over = part if is_part else "the whole split"
        facts.append(("Final validation loss", loss, f"mean over {over}"))
    final = run.last_event if "val_loss" in run.last_event else best
    when = "at the end" if final is run.last_event else "at its best"
    if "val_perplexity" in final:
        perplexity = figure(number(final["val_perplexity"]))
        facts.append(("Perplexity", perplexity, f"per {run.loss_unit}, {when}"))
    if "val_bits_per_byte" in final:
        bits = figure(number(final["val_bits_per_byte"]))
        facts.append(("Bits per byte", bits, f"of validation text, {when}"))
    if seconds:
        wall = run.last("wall_seconds")
        remark = f"{duration(wall)} with validation and samples" if wall else "in training steps"
        facts.append(("Training time", duration(seconds), remark))
    if seconds and tokens and _computes_tokens(run):
        facts.append(("Speed", f"{short(tokens / seconds)}/s", "tokens, mean over the run"))
    return cards(facts)


def _computes_tokens(run: RunRecord) -> bool:
    """Tell whether steps compute tokens; those of a classifier's head see vectors known before."""
    job = run.manifest.job
    return not (job and job.settings) or job.settings.get("layers") != "head"


def _labels(run: RunRecord) -> list[str] | None:
    """Return the labels of a classifier, None of another run."""
    job = run.manifest.job
    return list(map(str, job.labels or [])) if job and run.manifest.kind == CLASSIFIER else None


def _choices(run: RunRecord) -> int | None:
    """Return among how many a model chooses: tokens, labels as a classifier, replies by DPO.

    None where the loss is a sum of several choices, or no cross-entropy.
    """
    objective, labels = objective_of(run.manifest), _labels(run)
    if objective in (*OF_PAIRS, GRPO):
        return 2 if objective == DPO else None
    return run.config.vocab_size if labels is None else max(1, len(labels))


def loss_series(run: RunRecord) -> list[Series]:
    """Return the curves of the losses, and the level of a model that knows nothing."""
    training = run.points("train_loss")
    raw = Series(name="training, as measured", points=training, faint=len(training) > 20)
    averaged = Series(name="training, smoothed", points=smooth(training))
    return [
        raw,
        *([averaged] if raw.faint else []),
        Series(name="validation", points=run.points("val_loss"), colour=1, dots=True),
        *_guessing(run),
    ]


def _guessing(run: RunRecord) -> list[Series]:
    """Return the level of a model that knows nothing, where it is known."""
    if (choices := _choices(run)) is None:
        return []
    level = math.log(choices)
    name = f"guessing: ln({choices:,}) = {level:.4g}"
    return [Series(name=name, points=[(0.0, level)], colour=5, dash=1, reference=True)]


def curves(run: RunRecord) -> str:
    """Return the charts of a run over its steps."""
    if not run.rows:
        return '<p class="none">No figures yet: training has not written its first line.</p>'
    loss = Chart(
        title="Loss",
        series=loss_series(run),
        y_label=run.loss_name,
        remark=f"{_meaning(run)}. Lower is better.",
    )
    rate, norm, speed = (run.points(key) for key in ("lr", "grad_norm", "tokens_per_second"))
    others = [
        Chart(
            title="Learning rate",
            series=[Series(name="learning rate", points=rate)],
            from_zero=True,
        ),
        Chart(title="Gradient norm", series=_with_average("before clipping", norm, 3)),
    ]
    if _computes_tokens(run):
        measured = _with_average("as measured", speed, 2)
        others.append(Chart(title="Tokens per second", series=measured, from_zero=True))
    said = f'<p class="verdict">{esc(run.verdict)}</p>' if run.verdict else ""
    return (
        f'{said}<div class="charts"><div class="first">{chart_figure(loss)}</div>'
        f"{''.join(map(chart_figure, others))}</div>"
    )


def _meaning(run: RunRecord) -> str:
    """Say what the loss of a run is."""
    objective = objective_of(run.manifest)
    if objective == GRPO:
        return "1 less the mean reward: which part of the replies is not right"
    target = f"next {run.loss_unit}" if _labels(run) is None else "true label"
    if objective in OF_PAIRS:
        target = "reply that was chosen"
    return f"Cross-entropy: how surprised the model is by the {target}"


def _with_average(name: str, points: list[tuple[float, float]], colour: int) -> list[Series]:
    raw = Series(name=name, points=points, colour=colour, faint=len(points) > 20)
    average = Series(name="smoothed", points=smooth(points), colour=colour)
    return [raw, *([average] if raw.faint else [])]


def samples(run: RunRecord) -> str:
    """Return what the model wrote: the newest in full view, older ones folded away."""
    if not run.samples:
        return '<p class="none">No samples yet.</p>'
    shown = spread(run.samples, SHOWN_SAMPLES)
    *older, newest = shown
    left_out = len(run.samples) - len(shown)
    note = f" ({left_out:,} more in samples.jsonl)" if left_out else ""
    earlier = "".join(fold(_first_words(s), _sample(s)) for s in reversed(older))
    legend = "<p>Bold: the prompt. What follows it, the model wrote.</p>" * any(
        sample.get("prompt") for sample in shown
    )
    return f"{legend}<h3>Step {_step(newest)}</h3>{_sample(newest)}" + (
        f"<h3>Earlier, newest first{note}</h3>{earlier}" if older else ""
    )


def newest_sample(run: RunRecord) -> str:
    """Return what the model wrote last."""
    return _sample(run.samples[-1]) if run.samples else '<p class="none">No samples yet.</p>'


def _step(sample: dict[str, Any]) -> str:
    return figure(number(sample.get("step")))


def _first_words(sample: dict[str, Any]) -> str:
    words = " ".join(str(sample.get("text", ""))[:400].split())
    return f"Step {_step(sample)}: {words[:60]}{'…' * (len(words) > 60)}"


def _sample(sample: dict[str, Any]) -> str:
    prompt, text = str(sample.get("prompt", "")), str(sample.get("text", "")).rstrip()
    cut = len(text) - SHOWN_CHARACTERS
    left_out = counted(cut, "more character")
    more = f"<p><small>{left_out} in samples.jsonl</small></p>" if cut > 0 else ""
    return (
        f'<div class="sample" dir="auto"><b>{esc(prompt[-SHOWN_CHARACTERS:])}</b>'
        f"{esc(text[:SHOWN_CHARACTERS])}</div>{more}"
    )


def plan_and_measured(run: RunRecord) -> str:
    """Return what was planned beside what was measured, each with its ratio."""
    plan, rows = run.manifest.plan or PlanTable(), []
    for what, expected, measured, write in _pairs(run, plan):
        largest = max(expected, measured)
        bars = bar(expected / largest, "planned") + bar(measured / largest)
        ratio = f"{measured / expected:.2f}"
        rows.append([esc(what), bars, write(expected), write(measured), ratio])
    head = ["", "", "planned", "measured", "ratio"]
    caption = "Ratio: measured / planned. Upper bar planned, lower bar measured."
    compared = table(head, rows, caption)
    if not rows:
        compared = '<p class="none">Nothing to compare yet.</p>'
    memory = _memory_sum(_memory_terms(plan), plan.memory_unknown or [])
    return f'<div class="pair"><div><h3>Time and memory</h3>{compared}</div>{memory}</div>'


def _pairs(run: RunRecord, plan: PlanTable) -> Iterator[tuple[str, float, float, Any]]:
    """Yield (what, planned, measured, how to write it) where both are known."""
    total = None if plan.memory_unknown else _memory_terms(plan).get("total")
    seconds = run.last("seconds")
    finished = run.state == "finished"
    found = [
        ("Training time", plan.expected_seconds, seconds if finished else None, duration),
        (
            "Time per step",
            plan.seconds_per_step,
            seconds / run.step if seconds and run.step else None,
            duration,
        ),
        ("Peak memory", total, run.last("peak_memory_mib"), _mib),
        ("Parameters", plan.parameters, run.parameters, lambda n: f"{n:,.0f}"),
    ]
    for what, expected, measured, write in found:
        if number(expected) > 0 and number(measured) > 0:
            yield what, number(expected), number(measured), write


def _mib(value: float) -> str:
    return f"{value:,.1f} MiB"


def _memory_terms(plan: PlanTable) -> dict[str, float]:
    """Return the terms of the planned memory in MiB and, last, their total; {} without a plan."""
    terms = {k: number(v) for k, v in (plan.memory_mib or {}).items()}
    total = terms.pop("total", sum(terms.values()))
    return terms | {"total": total} if total > 0 else {}


def _memory_sum(terms: dict[str, float], unknown: list[str]) -> str:
    if not terms:
        return ""
    rows = [[esc(k), bar(value / terms["total"]), _mib(value)] for k, value in terms.items()]
    rows[-1:-1] = [[esc(name), "", "unknown"] for name in unknown]
    summed = table(["", "", "planned"], rows, "MiB is 1,048,576 bytes")
    return f"<div><h3>The planned memory as a sum</h3>{summed}</div>"


def repetition(run: RunRecord) -> str:
    """Return everything needed to repeat the run: the request, every setting, the machine."""
    command = run.manifest.request and run.manifest.request.command
    words = shlex.join(map(str, command)) if isinstance(command, list) else command
    shown = f'<pre class="command" tabindex="0"><code>{esc(words)}</code></pre>' if words else ""
    titles = {"request": "what was asked for", "choices": "chosen automatically"}
    parts = "".join(
        fold(
            f"[{name}] {titles.get(name, '')}".strip(),
            table(["key", "value"], _key_values(value), f"[{name}] in run.toml", "words"),
        )
        for name, value in run.manifest.as_table().items()
        if value
    )
    return f"{shown}<p>The settings below stand in the run's <code>run.toml</code>.</p>{parts}"


def _key_values(values: dict[str, Any]) -> list[list[str]]:
    return [[esc(key), esc(value)] for key, value in flatten(values).items()]
