"""What a person sees while a model trains: in a terminal, in a notebook, or in a piped log.

It prints through a rich console that the caller chooses; the loop itself prints nothing.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from groundup.base.output import fail_safe, harmless, lost_by
from groundup.base.terminal import INDENT, has_style, marked_prompt, print_below, print_line
from groundup.base.words import counted
from groundup.config import TrainConfig
from groundup.data import PreparedData
from groundup.data.dialogue_folder import DialogueData
from groundup.data.labelled_folder import LabelledData
from groundup.plan import Plan, plan_rows
from groundup.plan.units import duration, size
from groundup.runs import RunFolder
from groundup.train.choices import Choices
from groundup.train.decisions import Decision
from groundup.train.listener import Screen
from groundup.train.progress import Progress as RunProgress

SAMPLE_LINES = 6
NARROW = 60
"""In fewer columns the live line has no room for the speed."""
SPEEDS = 20
"""Records from whose median a speed is told."""
LEARNT = "stands between « and »"
"""Says so where there is no style."""
MOST_CLASSES = 10
"""Labels that are told one by one."""
MOST_PIECES, MOST_CHARACTERS = 12, 400
"""Of an example that is shown: parts, and characters of each; more are left out in the middle."""
CLEARLY = 0.2
"""The part of its steps by which a run has to become longer or shorter for that to be said."""
SEEN = 2.0
"""Seconds of a stage of preparation from which the whole of it is foreseen."""
SLOWER = 3
"""A training that has become so many times slower says so, once."""


class ConsoleScreen(Screen):
    """A screen on a rich console: a live line in a terminal, plain lines elsewhere.

    A run needs no screen: where the console's file is full or nobody reads it, the run goes on,
    and one line on standard error says so.
    """

    def __init__(self, console: Console) -> None:
        console.file = fail_safe(console.file, _tell_lost)
        self.console = console
        self.live = console.is_terminal and not console.is_jupyter
        self.steps = 0
        self.hints_threads = False
        """Whether fewer threads may help, which are not chosen by themselves."""
        self.tells_speed = True
        """Whether steps compute tokens; those of a head on vectors do not."""
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._train_loss = float("nan")
        self._tokens_per_second = 0.0
        self._first_speeds: list[float] = []
        self._last_speeds: deque[float] = deque(maxlen=SPEEDS)
        self._told = False
        self._allowed = math.inf
        self._stage = "", 0.0
        """What is being prepared, and since when."""
        self._told_uncounted = False

    def line(self, label: str, text: str, style: str = "") -> None:
        """Print one labelled line, broken between words where a terminal ends."""
        print_line(self.console, label, text, style)

    def allowed(self, seconds: float) -> None:
        """Note in how many seconds from now the run is to be done."""
        self._allowed = time.perf_counter() + seconds

    def preparing(self, stage: str, done: int, total: int) -> None:
        """Show how much of the text is read; say so where that takes longer than is allowed."""
        self._foresee(stage, done, total)
        if done >= total:
            self.close()
            return
        self._show(stage, done, total, "")

    def _foresee(self, stage: str, done: int, total: int) -> None:
        now = time.perf_counter()
        if stage != self._stage[0]:
            self._stage = stage, now
        spent = now - self._stage[1]
        if done and spent > SEEN and now + spent * (total / done - 1) > self._allowed:
            self._allowed = math.inf
            self.close()
            self.notice(
                f"{stage.lower()} takes {duration(spent * total / done)} and more, longer than was "
                "asked for; the time of the training begins when it is done, and the next run "
                "finds it done"
            )

    def prepared(self, data: PreparedData) -> None:
        """Say what was read and how it was split."""
        self.close()
        train, val = (data.manifest["splits"][name] for name in ("train", "val"))
        documents = counted(data.manifest["documents"], "document")
        whole = size(train["bytes"] + val["bytes"])
        self.line("Text", f"{whole} in {documents}; {data.split_rule}")
        tokens = f"{train['tokens']:,} to train on, {val['tokens']:,} to validate"
        self.line("Tokens", f"{tokens} ({data.tokenizer!r})")
        self.line("", data.tokenizer.ending_rule)
        for line in data.notices:
            self.notice(line)

    def prepared_records(self, data: LabelledData) -> None:
        """Say what the records are, what was left out, and how they were split."""
        self.close()
        counts = {split: data.counts(split) for split in ("train", "val", "test")}
        n_train, n_val, n_test = (sum(of.values()) for of in counts.values())
        self.line(
            "Records", f"{n_train:,} to learn from, {n_val:,} to validate, {n_test:,} to test"
        )
        classes = ", ".join(
            f"{label} {n:,}" for label, n in [*counts["train"].items()][:MOST_CLASSES]
        )
        more = len(data.labels) - MOST_CLASSES
        self.line("", data.split_rule)
        more_labels = f" and {more} more" if more > 0 else ""
        self.line("Labels", f"{classes}{more_labels} (to learn from)")
        for line in data.notices:
            self.notice(line)

    def prepared_dialogues(self, data: DialogueData) -> None:
        """Say what the records are, what was left out, and how they were split."""
        self.close()
        counts = {split: data.counts(split) for split in ("train", "val", "test")}
        n_train, n_val, n_test = (
            sum(n for kind, n in of.items() if kind != "replies") for of in counts.values()
        )
        self.line(
            "Records", f"{n_train:,} to learn from, {n_val:,} to validate, {n_test:,} to test"
        )
        self.line("", f"{data.format}; {data.split_rule}")
        for line in data.notices:
            self.notice(line)

    def example(self, where: str, pieces: Sequence[tuple[str, bool]]) -> None:
        """Show an example as the model will see it; what is learnt is green, or marked."""
        self.close()
        styled = has_style(self.console)
        self.line("Example", f"{where}; learnt is what {'is green' if styled else LEARNT}")
        shown = Text()
        for words, learnt in shortened(pieces):
            safe = harmless(words)
            marked = safe if styled or not learnt else f"«{safe}»"
            shown.append(marked, style="green" if learnt else "dim")
        for line in shown.split("\n"):
            print_below(self.console, Text(" " * INDENT), line)

    def decided(self, label: str, text: str) -> None:
        """Say what was chosen for the job itself, and why."""
        self.close()
        self.line(label, text)

    def planned(self, plan: Plan, choices: Choices, folder: RunFolder) -> None:
        """Show the plan of the run."""
        for label, value in plan_rows(plan):
            self.line(label, value)
        c = choices.config
        threads = counted(c.threads, "thread")
        self.line("Machine", f"{c.device}, {c.precision}, {threads}, compile {c.compile}")
        self.line("Run", str(folder.path))
        self.steps = c.steps
        self.hints_threads = c.threads > 1 and not choices.may_change_threads
        self.tells_speed = plan.flops_per_token != 0

    def notice(self, text: str) -> None:
        """Show one line the user should know."""
        self.line("Notice", text, "yellow")

    def resumed(self, progress: RunProgress) -> None:
        """Say where training goes on."""
        self.line("Resumed", f"at step {progress.step:,} of {self.steps:,}")

    def decided_anew(
        self,
        config: TrainConfig,
        decisions: Sequence[Decision],
        seconds_per_step: float | None,
    ) -> None:
        """Say how long the whole run will take, and later where that changes clearly."""
        if seconds_per_step is not None:
            self.steps = config.steps
            expected = duration(seconds_per_step * config.steps)
            each = f"{counted(config.steps, 'step')} of {1000 * seconds_per_step:,.0f} ms"
            self.line("Expected", f"{expected} of training ({each}, measured on the first steps)")
        elif abs(config.steps - self.steps) > CLEARLY * self.steps:
            fits = f"the time is enough for {counted(config.steps, 'step')}, not {self.steps:,}"
            self.close()
            self.notice(f"step {decisions[-1].step:,}: {fits}; the learning rate follows")
            self.steps = config.steps

    def metrics(self, record: dict[str, Any]) -> None:
        """Move the live line on; print a line for a validation or for an event."""
        if "reason" in record:
            self.close()
            self.notice(f"step {record['step']:,} {record['event']}: {record['reason']}")
        if record.get("uncounted_steps") and not self._told_uncounted:
            self._told_uncounted = True
            self.close()
            self.notice(f"step {record['step']:,}: no target counted, so that nothing was learnt")
        if "tokens_per_second" in record:
            self._train_loss = record.get("train_loss", self._train_loss)
            self._tokens_per_second = record["tokens_per_second"]
            if self.tells_speed:
                self._watch(self._tokens_per_second)
            if self.live and self.steps:
                speed = f"  {self._tokens_per_second:,.0f} tokens/s" * self.tells_speed
                figures = f"loss {self._train_loss:.3f}" + speed * (self.console.width >= NARROW)
                self._show("Training", record["step"], self.steps, figures)
        if "val_loss" in record:
            self._validation(record)

    def _watch(self, speed: float) -> None:
        """Tell, once, when training has become several times slower than at its start."""
        if len(self._first_speeds) < SPEEDS:
            self._first_speeds.append(speed)
            return
        self._last_speeds.append(speed)
        first, last = (median(speeds) for speeds in (self._first_speeds, self._last_speeds))
        if self._told or len(self._last_speeds) < SPEEDS or last * SLOWER > first:
            return
        self._told = True
        fewer = " Fewer threads may be faster then (--set threads=1)" * self.hints_threads
        self.notice(
            f"{last:,.0f} tokens/s, {first / last:.1f} times slower than at the start: is another "
            f"program using the CPU?{fewer}"
        )

    def _validation(self, record: dict[str, Any]) -> None:
        words = [f"validation {record['val_loss']:.4f}"]
        if (bits := record.get("val_bits_per_byte")) is not None:
            words.append(f"{bits:.3f} bits/byte")
        if (accuracy := record.get("val_accuracy")) is not None:
            words.append(f"accuracy {accuracy:.1%}, macro F1 {record['val_macro_f1']:.3f}")
        words += _of_pairs(record) + _of_rewards(record)
        if record.get("event") == "finished":
            self.close()
            part = f"{record['val_tokens']:,} tokens spread over the split"
            words[0] += f" over {part if 'val_tokens_most' in record else 'the whole split'}"
            if (perplexity := record.get("val_perplexity")) is not None:
                words[0] += f" (perplexity {perplexity:,.2f})"
            words.append(f"{duration(record['seconds'])} of training")
            words.append(f"peak memory {record['peak_memory_mib']:,.0f} MiB")
            self.line("Finished", ", ".join(words), "green")
            return
        if record["step"]:
            words.insert(0, f"loss {self._train_loss:.4f}")
            if self.tells_speed:
                words.append(f"{self._tokens_per_second:,.0f} tokens/s")
            left = max(0, self.steps - record["step"]) * record["seconds"] / record["step"]
            if left:
                words.append(f"{duration(left)} left")
        self.line(f"Step {record['step']:,}", ", ".join(words))

    def sample(self, step: int, prompt: str, text: str, lines: int = SAMPLE_LINES) -> None:
        """Show the first lines of what the model wrote, and where its prompt ends."""
        written = marked_prompt(self.console, prompt) + Text(harmless(text))
        filled = [line for line in written.split("\n") if line.plain.strip()]
        for line in filled[:lines]:
            print_below(self.console, Text(" " * INDENT), line)

    def close(self) -> None:
        """Take the live line away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, what: str, done: int, total: int, figures: str) -> None:
        if not self.live:
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description:<11}", markup=False),
                BarColumn(bar_width=None),  # what the others leave
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[figures]}", markup=False),
                TimeRemainingColumn(compact=True),
                console=self.console,
                transient=True,
                expand=True,
            )
            self._task = self._bar.add_task(what, total=total, figures=figures)
            self._bar.start()
        self._bar.update(self._task, description=what, completed=done, total=total, figures=figures)


def _of_rewards(record: dict[str, Any]) -> list[str]:
    """Say how many questions a model answers right, and how its replies are."""
    if (reward := record.get("val_reward")) is None:
        return []
    words = [f"{reward:.1%} of questions right", f"{record['val_ended']:.1%} of replies end"]
    return [*words, f"{record['val_reply_tokens']:.1f} tokens a reply"]


def _of_pairs(record: dict[str, Any]) -> list[str]:
    """Say how well a model tells the chosen reply of a pair, and how far it went for that."""
    if (accuracy := record.get("val_pair_accuracy")) is None:
        return []
    words = [f"{accuracy:.1%} of pairs right", f"margin {record['val_margin']:.3f}"]
    if (chosen := record.get("val_chosen_drift")) is not None:
        rejected = record["val_rejected_drift"]
        words.append(f"chosen replies {chosen:+.2f} nats, rejected {rejected:+.2f}")
    words.append(f"preferred {record['val_length_drift']:+.1f} tokens longer than chosen")
    return words


def shortened(pieces: Sequence[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Return the parts of an example as they are shown: what is too long lacks its middle."""
    half, n_out = MOST_PIECES // 2, len(pieces) - MOST_PIECES
    if n_out > 0:
        pieces = [*pieces[:half], (f" … {n_out} parts … ", False), *pieces[-half:]]
    return [(_shortened(words), learnt) for words, learnt in pieces]


def _shortened(words: str) -> str:
    half, n_out = MOST_CHARACTERS // 2, len(words) - MOST_CHARACTERS
    return words if n_out <= 0 else f"{words[:half]} … {n_out:,} characters … {words[-half:]}"


def _tell_lost(error: OSError) -> None:
    """Say on standard error, where it can be written, that the rest of the screen is not shown."""
    file = fail_safe(sys.stderr, lambda error: None)
    line = f"groundup: {lost_by(error)}; the run goes on without showing how far it is"
    print(line, file=file)
