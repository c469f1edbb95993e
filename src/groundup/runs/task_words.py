"""What a public task shows of a model before and after it learnt, in sentences."""

from __future__ import annotations

from groundup.base.words import counted
from groundup.runs.assistant import AssistantRecord
from groundup.runs.share_words import percent


def task(record: AssistantRecord) -> str:
    """Say how much of a public task was forgotten, "" where none was asked for."""
    name, now = record.asked.general_task, record.after.task
    if name is None:
        return ""
    if now is None:
        return f"{name} not asked: {record.asked.task_missing or 'no reason was kept'}."
    was = record.before.task if record.before else None
    before = f"{percent(was.accuracy, was.interval)} before, " if was else ""
    after = f"{percent(now.accuracy, now.interval)}{' after' * bool(was)}"
    documents = counted(record.asked.task_documents, "document")
    return f"{name}: acc {before}{after}, of {documents}{_normalised(record)}{_change(record)}."


def _normalised(record: AssistantRecord) -> str:
    now, was = record.after.task, record.before.task if record.before else None
    if now is None or now.normalised is None:
        return ""
    before = f"{100 * was.normalised:.1f} → " if was and was.normalised is not None else ""
    return f"; acc_norm {before}{100 * now.normalised:.1f}%"


def _change(record: AssistantRecord) -> str:
    change = record.task_change
    if change is None:
        return ""
    return (
        f"; {change.only_before:,} right only before, {change.only_after:,} only after (p = "
        f"{change.p_value:.2g}, McNemar)"
    )
