"""One assistant for tasks, that learns from answers or from a reward, and is tested.

It is a run folder that goes on where it was stopped. The test is of templates and values that are
in no record to learn from.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.cells import answer, run_of
from benchmarks.turns import Record
from groundup.base.signals import Interrupted
from groundup.config import TrainConfig, build
from groundup.data.tasks import TEST, make_tasks
from groundup.evaluate.reply_scores import score_tasks
from groundup.finetune.assistant.dialogue_run import DialogueRun
from groundup.finetune.assistant.request import InstructRequest
from groundup.finetune.replies.run import InstructRun
from groundup.finetune.rewards.run import RewardRun
from groundup.finetune.rewards.settings import RewardSettings, reward_defaults
from groundup.finetune.settings import InstructSettings, instruct_defaults
from groundup.generate import write_replies
from groundup.runs import RunFolder
from groundup.runs.load import load
from groundup.train.driver import drive
from groundup.train.listener import Screen
from groundup.train.recorder import Recorder

STARTED = time.perf_counter()


class Untested(DialogueRun):
    """An assistant that does not judge itself: it is tested here alone."""

    def finish(self, folder: RunFolder, screen: Screen) -> None:
        """Leave it as it is."""

    def is_judged(self, folder: RunFolder) -> bool:
        """Ask for nothing more."""
        return True


class Answering(Untested, InstructRun):
    """It learns from answers."""


class Rewarded(Untested, RewardRun):
    """It learns from a reward."""


def request_of(job: Record) -> InstructRequest:
    """Return the request of an assistant."""
    work, by_reward = Path(job["work"]), job["way"] == "reward"
    own: dict[str, Any] = {"threads": job["threads"], "device": "cpu", "seed": job["seed"]}
    own |= {"sample_tokens": 0, **job["length"], **job["settings"]}
    instruct = RewardSettings(**job["reward"]) if by_reward else InstructSettings(**job["answers"])
    defaults = reward_defaults() if by_reward else instruct_defaults()
    return InstructRequest(
        **run_of(job),
        records=(str(work / job["records"]),),
        reading={"split_seed": job["seed"]},
        instruct=instruct,
        train=build(TrainConfig, defaults | own),
    )


def result(job: Record) -> Record:
    """Train an assistant, or go on; return how many test questions it answers right."""
    request = request_of(job)
    request.check()
    kind = Rewarded if job["way"] == "reward" else Answering
    made = kind(request)
    done = drive(made, Recorder(request.folder), Screen(), STARTED)
    if not done.progress.finished:
        raise Interrupted(done.signal or 2)
    tasks = make_tasks(TEST, job["tested"], kinds=[job["kind"]])
    replies = write_replies(
        load(request.folder.path).model.eval(),
        made.tokenizer,
        made.template,
        [[{"role": "user", "content": task.question}] for task in tasks],
        max_tokens=job["reward"]["max_tokens"],
    )
    found = score_tasks(tasks, [reply.text for reply in replies])
    return {
        "right": found.right,
        "questions": found.questions,
        "exact": found.exact,
        "interval": found.exact_interval,
        "token_f1": found.token_f1,
        "ended": sum(reply.ended for reply in replies) / len(replies),
        "steps": done.progress.step,
        "seconds": done.progress.seconds,
    }


if __name__ == "__main__":
    answer(result)
