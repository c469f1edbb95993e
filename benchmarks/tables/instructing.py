"""What assistants learn, and from what."""

from __future__ import annotations

from benchmarks.assistant.reward import WAYS
from benchmarks.tables.finetuning import short
from benchmarks.turns import Record


def reward(result: Record) -> str:
    """Return what each way to learn reaches, seed by seed."""
    setting, rows = result["setting"], result["rows"]
    asked = setting["questions"]
    lines = [
        "### A reward beside answers",
        "",
        f"{short(result)} The model is nano, pretrained for {setting['pretrain_minutes']:g} "
        f"minutes; tasks of the kind {setting['kind']}: {asked['first']:,} questions at first, "
        f"{asked['second']:,} others to go on with, {asked['tested']:,} to test with; "
        f"{setting['minutes']:g} minutes of each way. Exact match, with its 95% interval: for a "
        "seed that of its questions, else that of the mean of the seeds.",
        "",
        f"| seed | {' | '.join(WAYS.values())} |",
        "|---|" + "---|" * len(WAYS),
    ]
    for row in rows:
        cells = [_share(row[way]["exact"], row[way]["interval"]) for way in WAYS]
        lines.append(f"| {row['seed']} | {' | '.join(cells)} |")
    means = [_share(result["ways"][way]["exact"], result["ways"][way]["interval"]) for way in WAYS]
    lines += [f"| mean | {' | '.join(means)} |", ""]
    for way, words in (("answers", "before"), ("more-answers", "going on from answers")):
        found = result["gains"][way]
        lines.append(f"From a reward, less {words}: {_share(found['mean'], found['interval'])}.  ")
    return "\n".join(lines).rstrip()


def _share(share: float, interval: tuple[float, float] | None) -> str:
    between = " ({:.1%} to {:.1%})".format(*interval) if interval else ""
    return f"{share:.1%}{between}"
