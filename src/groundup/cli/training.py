"""What the verbs share that train: they carry out a request, show it, and say how it ended."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from groundup.base.errors import GroundupError, UsageError, shown
from groundup.base.signals import Requests
from groundup.base.terminal import print_command
from groundup.cli.app import tell
from groundup.cli.starting import without_collecting

if TYPE_CHECKING:
    from groundup.finetune.assistant.request import InstructRequest
    from groundup.finetune.classifier.request import ClassifyRequest
    from groundup.processes.alone import Alone
    from groundup.runs import RunFolder
    from groundup.train import ConsoleScreen, Job, TrainRequest, TrainRun
    from groundup.train.run_request import RunRequest


STARTED = time.perf_counter()
LONGEST_PATH = 200
Request = TypeVar("Request", bound="RunRequest")


def check_run_name(run: str | None) -> None:
    """Refuse a name that would lie elsewhere than in the folder of runs."""
    if run is not None and (run in ("", "..") or Path(run).name != run):
        raise UsageError(
            f"--run {shlex.quote(run)}: expected a name without slashes; choose its folder by "
            "--runs"
        )


def carry_out(
    request: RunRequest,
    make_job: Callable[[], Job[Any]],
    print_finished: Callable[[ConsoleScreen, TrainRun], None],
    as_json: bool,
) -> None:
    """Train as requested, show it, and end the process as a signal asks for.

    `make_job` imports torch, and is called once the request is checked; `print_finished` shows
    what a finished run has become.
    """
    from groundup.base.file_names import check_name
    from groundup.processes.launch import place

    for word in shlex.split(request.command):  # all of which is written down
        check_name(word)
    if (own := place()) is None:  # several processes refuse together, once they have met
        request.check()

    # What torch's C++ warns of is not for users, or said by us; it reads this once.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from groundup.base.console import HarmlessConsole

    with without_collecting():
        from groundup.processes.together import joined
        from groundup.train import ConsoleScreen, Recorder, drive

    screen = ConsoleScreen(HarmlessConsole(quiet=as_json))
    try:
        with Requests() as requests, joined(request.train.timeout, screen.notice) as ranks:
            job, keeper = _job(request, make_job, ranks), Recorder(request.folder)
            outcome = drive(job, keeper, screen, STARTED, requests, ranks)
    finally:
        screen.close()
    if own is None or own.rank == 0:  # the others may be done while the first still writes the run
        if as_json:
            print(json.dumps(_result(outcome)))
        else:
            _print_end(screen, outcome, print_finished)
    if outcome.signal is not None and not outcome.progress.finished:
        raise typer.Exit(128 + outcome.signal)


def _job(request: RunRequest, make_job: Callable[[], Job[Any]], ranks: Alone) -> Job[Any]:
    """Return the job; of several processes the first one checks, and makes its own, before others.

    So what is wrong is found once, and said once, before the others hear of it: as soon as one of
    them ends, a launcher ends all.
    """
    made: list[Job[Any]] = []

    def check_and_make() -> None:
        try:
            request.check()
            made.append(make_job())
        except GroundupError as error:
            tell(str(error))
            error.is_said = True
            raise

    if ranks.size > 1:
        ranks.broadcast(check_and_make)
    return made[0] if made else make_job()


def _result(outcome: TrainRun) -> dict[str, Any]:
    from dataclasses import asdict

    from groundup.runs.assistant import read_assistant
    from groundup.runs.classification import read_classification

    result = {"run": str(outcome.folder.path), **asdict(outcome.progress)}
    if outcome.progress.finished and (found := read_classification(outcome.folder.classification)):
        result["test"] = asdict(found.test)
    if outcome.progress.finished and (asked := read_assistant(outcome.folder.assistant)):
        result["test"] = asked.as_dict()
    return result


def _print_end(
    screen: ConsoleScreen,
    outcome: TrainRun,
    print_finished: Callable[[ConsoleScreen, TrainRun], None],
) -> None:
    """Print how the run ended."""
    from groundup.runs.record import read_run

    path, progress = outcome.folder.path, outcome.progress
    if words := read_run(path).verdict:
        screen.line("Curves", words)
    if not progress.finished:
        saved = f"saved at step {progress.step:,}; the same command goes on, or 'groundup resume"
        saved += f" {path}'"
        screen.line("Stopped", saved, "yellow")
        return
    if outcome.was_finished:
        screen.line("Finished", f"{path} was finished already, at step {progress.step:,}")
    print_finished(screen, outcome)


def go_on(folder: RunFolder, extend: int | None, data_folder: Path | None, as_json: bool) -> None:
    """Go on with a run of any kind, as its own record tells.

    At a terminal somebody is asked whether what a run of others names elsewhere may be read.
    """
    from groundup.processes.launch import place
    from groundup.runs.own import PathsElsewhere, allow

    try:
        _go_on(folder, extend, data_folder, as_json)
    except PathsElsewhere as error:
        at_terminal = sys.stdin.isatty() and sys.stderr.isatty() and place() is None
        if not at_terminal:
            raise
        tell(str(error))
        if not _agreed("Read that?"):
            raise typer.Exit(error.exit_status) from error
        allow(folder)
        _go_on(folder, extend, data_folder, as_json)


def _agreed(question: str) -> bool:
    """Ask at the terminal; Enter alone, and no answer (Ctrl-D), are a no."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        print(file=sys.stderr)  # the answer's line has no end
        return False


def _go_on(folder: RunFolder, extend: int | None, data_folder: Path | None, as_json: bool) -> None:
    from groundup.finetune.assistant.request import recorded_instruct
    from groundup.finetune.classifier.request import recorded_classify
    from groundup.runs.assistant import ASSISTANT
    from groundup.runs.classifier import CLASSIFIER
    from groundup.train.request import recorded_request

    kind = folder.read().kind if folder.exists() else None
    own: dict[str, Any] = {"extend": extend, "own_process": True, "own_data": data_folder}
    if kind == CLASSIFIER:
        make_classifier(_shown(recorded_classify(folder, **own)), as_json)
    elif kind == ASSISTANT:
        make_assistant(_shown(recorded_instruct(folder, **own)), as_json)
    else:
        pretrain(_shown(recorded_request(folder, **own)), as_json)


def _shown(request: Request) -> Request:
    """Return the request of a run's record; what a run of others has it read is shown before."""
    from groundup.processes.launch import is_first
    from groundup.runs.own import is_own

    if request.reads and is_first() and not is_own(request.folder.read()):
        read = ", ".join(shown(path, LONGEST_PATH) for path in request.reads)
        tell(f"{request.folder.path} was begun by others or on another machine, and reads: {read}")
    return request


def pretrain(request: TrainRequest, as_json: bool) -> None:
    """Train on a text as requested, and show what the model writes."""

    def job() -> Job[Any]:
        from groundup.train.pretraining import Pretraining

        return Pretraining(request)

    carry_out(request, job, _print_model, as_json)


def _print_model(screen: ConsoleScreen, outcome: TrainRun) -> None:
    """Print a sample of the finished model, and commands that may come next."""
    from groundup.runs import read_lines

    path = outcome.folder.path
    prompt = "".join(sample["prompt"] for sample in list(read_lines(outcome.folder.samples))[-1:])
    if not outcome.was_finished:
        _print_sample(screen, outcome, prompt or " ")
    first_words = prompt.partition("\n")[0] or "The"
    generate = ("generate", str(path), first_words, "--temperature", "0.7")
    print_command(screen.console, "Next", "groundup", *generate)
    print_command(screen.console, "", "groundup", "chat", str(path))
    print_command(screen.console, "", "open", str(outcome.folder.report))


def _print_sample(screen: ConsoleScreen, outcome: TrainRun, prompt: str) -> None:
    from groundup.generate import generate
    from groundup.runs.load import load

    settings: dict[str, Any] = {"max_tokens": 200, "temperature": 0.7, "top_p": 0.9, "seed": 1}
    try:
        loaded = load(outcome.folder.path)
        text = generate(loaded.model, loaded.tokenizer, prompt, **settings)
    except GroundupError as error:  # a model that diverged was trained and saved all the same
        screen.notice(str(error))
        return
    screen.line("It writes", "at temperature 0.7 and top-p 0.9, from its best checkpoint:")
    screen.sample(loaded.step, prompt, text, lines=24)


def make_classifier(request: ClassifyRequest, as_json: bool) -> None:
    """Make the classifier, or go on with it, and show what it is worth."""

    def job() -> Job[Any]:
        from groundup.finetune.classifier.run import ClassifyRun

        return ClassifyRun(request)

    carry_out(request, job, _print_classifier, as_json)


def _print_classifier(screen: ConsoleScreen, outcome: TrainRun) -> None:
    """Print how well the finished classifier decides, and commands that may come next."""
    from groundup.runs.classification import read_classification
    from groundup.runs.classification_words import summary_lines

    path = str(outcome.folder.path)
    if (found := read_classification(outcome.folder.classification)) is not None:
        for label, text in summary_lines(found):
            screen.line(label, text)
    print_command(screen.console, "Next", "groundup", "classify", path, "a text of your own")
    print_command(screen.console, "", "open", str(outcome.folder.report))


def make_assistant(request: InstructRequest, as_json: bool) -> None:
    """Make the assistant, or go on with it, and show how it answers."""

    def job() -> Job[Any]:
        from groundup.finetune.assistant.choose import assistant_run

        return assistant_run(request)

    carry_out(request, job, _print_assistant, as_json)


def _print_assistant(screen: ConsoleScreen, outcome: TrainRun) -> None:
    """Print how well the finished assistant answers, and commands that may come next."""
    from groundup.runs.assistant import read_assistant
    from groundup.runs.assistant_words import summary_lines

    path = str(outcome.folder.path)
    if (found := read_assistant(outcome.folder.assistant)) is not None:
        for label, text in summary_lines(found):
            screen.line(label, text)
    print_command(screen.console, "Next", "groundup", "chat", path)
    print_command(screen.console, "", "open", str(outcome.folder.report))
