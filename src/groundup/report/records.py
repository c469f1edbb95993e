"""The part of a report about the records of a fine-tuning."""

from __future__ import annotations

from groundup.plan.units import duration
from groundup.report.page import esc, table
from groundup.runs.assistant import AssistantRecord
from groundup.runs.classification import ClassificationRecord


def records_table(
    record: AssistantRecord | ClassificationRecord, left_out: str, learner: str
) -> str:
    """Return how records were divided, what was not used, and what the work took."""
    facts = [
        ("Divided", record.split),
        ("Checkpoint", f"step {record.step:,}: {record.chosen_by}"),
        ("Left out", left_out or "nothing"),
    ]
    if record.padding is not None:
        facts.append(("Padding", f"{100 * record.padding:.1f}% of the positions computed"))
    if record.seconds is not None:
        facts.append(("Training", duration(record.seconds)))
    rows = [[esc(what), esc(said)] for what, said in facts]
    return table(["", ""], rows, f"What the {learner} learnt and was tested on", "words")
