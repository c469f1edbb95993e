"""Which training makes an assistant: on replies, on preferences, or by rewards."""

from __future__ import annotations

from groundup.base.errors import UsageError
from groundup.data.dialogue_folder import DialogueData
from groundup.finetune.assistant.request import InstructRequest, recorded_instruct
from groundup.finetune.assistant.run import ChatRun
from groundup.finetune.preferences.run import PreferenceRun
from groundup.finetune.replies.run import InstructRun
from groundup.finetune.rewards.run import RewardRun
from groundup.finetune.settings import AUTO, InstructSettings
from groundup.runs import RunFolder
from groundup.runs.assistant import DPO, GRPO, OF_PAIRS, SFT, objective_of


def assistant_run(request: InstructRequest) -> ChatRun:
    """Return the training that the records are for, which are read.

    Raises `UsageError` where another was asked for, and whatever reading them does.
    """
    data = request.data()
    run = _run(request, _objective(request, data))
    run.data = data
    return run


def recorded_assistant(folder: RunFolder) -> ChatRun:
    """Return the training that the run in `folder` is, without its records."""
    return _run(recorded_instruct(folder), objective_of(folder.read()) or SFT)


def _run(request: InstructRequest, objective: str) -> ChatRun:
    if objective in OF_PAIRS:
        return PreferenceRun(request, objective)
    return RewardRun(request) if objective == GRPO else InstructRun(request)


def _objective(request: InstructRequest, data: DialogueData) -> str:
    """Return what is learnt from the records; refuse what is not learnt from these."""
    asked, are_pairs = request.instruct.objective, data.are_preferences
    records = " ".join(request.records)
    if asked in OF_PAIRS and not are_pairs:
        raise UsageError(
            f"objective = {asked}: learns from preferences, each with a chosen and a rejected "
            f"reply, but {records}: {data.format}; leave it out, or give preferences"
        )
    if asked == GRPO and are_pairs:
        raise UsageError(
            f"objective = {asked}: learns from questions with one right answer each, but "
            f"{records}: preferences; leave it out for {DPO}, or give such questions, as --records "
            "tasks"
        )
    if asked == SFT and are_pairs:
        raise UsageError(
            f"objective = {asked}: learns the replies of dialogues, but {records}: preferences; "
            f"leave it out for {DPO}, or give dialogues"
        )
    if are_pairs and request.judge is not None:
        raise UsageError(
            f"--judge {request.judge.url}: compares replies to test questions, but {records}: "
            "preferences, which are judged by their pairs; leave it out"
        )
    if are_pairs and request.instruct.mix_text is not None:
        raise UsageError(
            f"mix_text = {request.instruct.mix_text}: goes on being learnt beside replies, not "
            f"beside preferences, as {records} are; leave it out"
        )
    objective = asked if asked != AUTO else DPO if are_pairs else SFT
    if objective not in OF_PAIRS and request.instruct.beta != InstructSettings.beta:
        raise UsageError(
            f"beta = {request.instruct.beta:g}: counts where preferences are learnt, but the "
            f"objective is {objective}; leave it out"
        )
    return objective
