"""Numbers of processes that change, steps that are special, and a network that is cut."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from groundup.runs import RunFolder
from groundup.train import train_run
from tests.processes.starting import ROOT, Training, command, steps_logged
from tests.train.test_run import StopAt, assert_same_bits, folder, lines, quiet, request

STEPS = 60
SCHEDULE: dict[str, Any] = {
    "steps": STEPS,
    "batch_size": 8,
    "schedule": "wsd",
    "warmup_steps": 10,
    "drop_rate": 0.1,
    "eval_every": 20,
}
END_OF_PASS = 47
"""Steps of 8 samples in the 380 windows of the text."""


@pytest.mark.slow
def test_every_sample_is_seen_once_whoever_trains(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 40, "sample_tokens": 0}
    run = RunFolder(tmp_path / "runs/run")
    words = command(tmp_path, **settings)
    for ranks, least in ((1, 8), (2, 16), (4, 24), (1, 40)):
        training = Training(tmp_path, words, ranks, {"kind": "samples"})
        if least == 40:
            training.finish()
            break
        training.wait_for(lambda least=least: steps_logged(run) >= least)  # type: ignore[misc]
        training.signal(signal.SIGTERM, rank=ranks - 1)
        assert set(training.wait()) == {143}, training.err
    logs = [path.read_text().splitlines() for path in tmp_path.glob("samples-*.jsonl")]
    assert len(logs) == 1 + 2 + 4
    passes = [json.loads(line) for log in logs for line in log]
    seen = sorted(first + i for first, n in passes for i in range(n))
    assert seen == list(range(40 * 8)), "no duplicate, none missing"


@pytest.mark.parametrize("stop", [4, 10, END_OF_PASS, END_OF_PASS + 1, STEPS - 1])
def test_a_resume_at_a_special_step(tmp_path: Path, stop: int) -> None:
    """Inside the warm-up and at its end, at the end of a pass and the decay's start, at the end."""
    whole = train_run(request(folder(tmp_path, "a"), **SCHEDULE), quiet())
    parts = folder(tmp_path, "b")
    train_run(request(parts, **SCHEDULE), StopAt(stop))
    resumed = train_run(request(parts, **SCHEDULE), quiet())
    assert_same_bits(whole, resumed)
    assert lines(whole) == lines(resumed)


def test_a_resume_with_a_longer_horizon(tmp_path: Path) -> None:
    ends = []
    for name, stops in (("a", []), ("b", [30]), ("c", [25, 58])):
        base = folder(tmp_path, name)
        train_run(request(base, **SCHEDULE | {"steps": 24}), quiet())
        for stop in stops:
            train_run(request(base, **SCHEDULE | {"extend": STEPS}), StopAt(stop))
        ends.append(train_run(request(base, **SCHEDULE | {"extend": STEPS}), quiet()))
    assert_same_bits(ends[0], ends[1])
    assert_same_bits(ends[0], ends[2])
    assert lines(ends[0]) == lines(ends[1]) == lines(ends[2])


APART = ["unshare", "--pid", "--fork", "--mount-proc"]
"""The beginning of a command whose process knows no other, as if on a machine of its own."""


@pytest.fixture
def two_networks() -> Iterator[None]:
    """Make two network namespaces with a cable between them."""
    if shutil.which("ip") is None:
        pytest.skip("needs the command ip")
    made = [
        "netns add groundup-a",
        "netns add groundup-b",
        "link add groundup-a netns groundup-a type veth peer name groundup-b netns groundup-b",
        *(f"-n {n} link set lo up" for n in ("groundup-a", "groundup-b")),
        *(f"-n {n} link set {n} up" for n in ("groundup-a", "groundup-b")),
        "-n groundup-a address add 10.213.7.1/24 dev groundup-a",
        "-n groundup-b address add 10.213.7.2/24 dev groundup-b",
    ]
    try:
        for words in made:
            done = subprocess.run(["ip", *words.split()], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"needs the privilege to make networks: {done.stderr.strip()}")
        yield
    finally:
        for name in ("groundup-a", "groundup-b"):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


@pytest.mark.slow
def test_a_network_that_is_cut_ends_both_sides(tmp_path: Path, two_networks: None) -> None:
    words = [sys.executable, "-m", "groundup", *command(tmp_path, steps=100_000, timeout=5)]
    place = {"MASTER_ADDR": "10.213.7.1", "MASTER_PORT": "29871", "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            ["ip", "netns", "exec", f"groundup-{name}", *APART, *words],
            cwd=tmp_path,
            env=os.environ
            | {"PYTHONPATH": str(ROOT / "src"), "RANK": str(rank), "LOCAL_RANK": "0"}
            | {"GLOO_SOCKET_IFNAME": f"groundup-{name}", "OMP_NUM_THREADS": "1"}
            | place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, name in enumerate("ab")
    ]
    run = RunFolder(tmp_path / "runs/run")
    deadline = time.monotonic() + 120
    while steps_logged(run) < 20:
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < deadline
        time.sleep(0.05)
    subprocess.run(["ip", "-n", "groundup-b", "link", "set", "groundup-b", "down"], check=True)
    cut = time.monotonic()
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert time.monotonic() - cut < 5 + 10
    assert [process.returncode for process in processes] == [5, 5], said
    assert "rank 1 " in said[0]
    assert "rank 0 " in said[1]
