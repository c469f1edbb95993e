"""What a judge that the user named prefers: an assistant's replies, or those from before."""

from __future__ import annotations

from dataclasses import replace

from groundup.base.errors import UsageError
from groundup.evaluate.endpoint import Endpoint
from groundup.evaluate.pairwise import Comparison, compare
from groundup.finetune.assistant.request import is_judged_by
from groundup.runs import RunFolder
from groundup.runs.assistant import read_assistant, write_assistant
from groundup.runs.kept_replies import read_replies
from groundup.train.listener import Screen


def judge_replies(folder: RunFolder, judge: Endpoint, screen: Screen) -> None:
    """Have the judge compare the replies of the test, and add what came of it to assistant.json.

    Its answers are kept in the run folder one by one, so that it is asked no question twice. What
    it fails to answer is counted; nothing else of the run is touched.
    """
    record = read_assistant(folder.assistant)
    assert record is not None, "it is judged behind the rest"
    if is_judged_by(judge, record):
        return
    comparisons = [
        Comparison(
            messages=one.messages, reference=one.expected, before=one.before, after=one.after
        )
        for one in read_replies(folder.replies, record.asked.questions)
        if one.before is not None
    ]
    if not comparisons:
        why = record.before_missing or "no question was answered"
        screen.notice(f"nothing for {judge.url} to compare: {why}")
        return
    try:
        screen.decided("Judge", f"{judge.model} at {judge.url}: asked for what is missing")
    except UsageError as error:  # its name is asked for only now where several processes trained
        screen.notice(str(error))
        return
    progress = screen.preparing
    found = compare(
        judge,
        comparisons,
        journal=folder.judgements,
        progress=lambda done, total: progress("asking the judge", done, total),
    )
    folder.report.unlink(missing_ok=True)  # it tells of less, and would outlive a kill
    write_assistant(folder.assistant, replace(record, judgement=found))
