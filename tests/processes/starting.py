"""Trainings in processes of their own, one or several, that can be stopped, killed and spoilt."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from groundup.runs import RunFolder, read_lines
from groundup.runs.checkpoint import newest_intact
from tests.texts import text_file

ROOT = Path(__file__).parents[2]
MODEL = {"emb_dim": 16, "n_heads": 2, "n_layers": 2, "context_length": 16, "vocab_size": 300}
SETTINGS: dict[str, Any] = {
    "steps": 24,
    "batch_size": 8,
    "eval_every": 6,
    "eval_tokens": 256,
    "sample_tokens": 5,
    "threads": 1,
    "learning_rate": 1e-3,
}
CLOCK = {"seconds", "tokens_per_second", "mfu", "wall_seconds", "peak_memory_mib"}
TIMEOUT = 300.0
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")


def command(folder: Path, name: str = "run", **settings: Any) -> list[str]:
    """Return the words of a training in `folder`, which has its text; None leaves a setting out."""
    if not (folder / "story.txt").exists():
        text_file(folder)
    words = ["train", "story.txt", "--preset", "pico", "--run", name]
    for key, value in (MODEL | SETTINGS | settings).items():
        words += ["--set", f"{key}={value}"] if value is not None else []
    return words


def environment(**own: str) -> dict[str, str]:
    """Return what a process needs that is to run this checkout, on one thread."""
    path = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PYTHONSAFEPATH": "1"}
    return os.environ | path | {"OMP_NUM_THREADS": "1"} | own


class Training:
    """The processes of a training: as a launcher starts them, by the variables it sets.

    With `sabotage` they are `tests.faults.victim`s.
    """

    def __init__(
        self,
        folder: Path,
        words: Sequence[str],
        ranks: int = 1,
        sabotage: dict[str, Any] | None = None,
        module: str = "groundup",
    ) -> None:
        self.folder = folder
        module = "tests.faults.victim" if sabotage else module
        program = [sys.executable, "-m", module, *words]
        shared = environment(SABOTAGE=json.dumps(sabotage or {}))
        if ranks > 1:
            place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
            shared |= place | {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
        self.ranks = [
            subprocess.Popen(
                program,
                cwd=folder,
                env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(ranks)
        ]

    def wait(self, timeout: float = TIMEOUT) -> list[int]:
        """Wait for all; return their exit codes. What they said is in `out` and `err` then."""
        try:
            said = [process.communicate(timeout=timeout) for process in self.ranks]
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.out, self.err = ([one[i] or "" for one in said] for i in (0, 1))
        return [process.returncode for process in self.ranks]

    def end(self, within: float) -> list[int]:
        """Wait for all; those that have not ended in time are told to, as a launcher would."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            deadline = time.monotonic() + within
            for process in self.ranks:
                process.wait(max(0.0, deadline - time.monotonic()))
        for process in self.ranks:
            process.terminate()
        return self.wait(timeout=20)

    def finish(self) -> None:
        """Wait for the training to succeed; the first process tells of it."""
        assert self.wait() == [0] * len(self.ranks), self.err
        assert not any(self.out[1:]), self.out

    def wait_for(self, happened: Callable[[], bool], timeout: float = 120) -> None:
        """Wait until something has happened while the training goes on."""
        deadline = time.monotonic() + timeout
        while not happened():
            if any(process.poll() not in (None, 0) for process in self.ranks):
                self.wait()
                raise AssertionError(self.err)
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.005)

    def signal(self, number: int, rank: int = 0) -> None:
        """Send a signal to one process."""
        self.ranks[rank].send_signal(number)

    def kill(self) -> None:
        """Kill all processes."""
        for process in self.ranks:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
        for process in self.ranks:
            process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def train(folder: Path, ranks: int = 1, name: str = "run", **settings: Any) -> RunFolder:
    """Train to the end."""
    Training(folder, command(folder, name, **settings), ranks).finish()
    return RunFolder(folder / "runs" / name)


def steps_logged(run: RunFolder) -> int:
    """Return the last step that the metrics tell of."""
    return max((r["step"] for r in read_lines(run.metrics) if "train_loss" in r), default=0)


def fingerprint(run: RunFolder) -> str:
    """Return a hash of the last checkpoint's tensors."""
    checkpoint, damaged = newest_intact(run.checkpoints)
    assert checkpoint is not None, damaged
    digest = hashlib.sha256()
    tensors = {**checkpoint.model_tensors(), **checkpoint.trainer_tensors()}
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def lines(run: RunFolder) -> list[dict[str, Any]]:
    """Return the metrics without what a clock gave."""
    return [
        {key: value for key, value in record.items() if key not in CLOCK}
        for record in read_lines(run.metrics)
    ]


def losses(run: RunFolder) -> list[float]:
    """Return the training losses, step by step."""
    return [record["train_loss"] for record in lines(run) if "train_loss" in record]
