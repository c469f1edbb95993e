"""Training and generating need no network, open no socket and unpickle nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.texts import text_file

SETTINGS = "emb_dim=16 n_heads=2 n_layers=1 context_length=16 vocab_size=300 batch_size=4 threads=1"
SETS = [word for setting in SETTINGS.split() for word in ("--set", setting)]
TRAIN = ["train", "story.txt", "--preset", "pico", "--steps", "4", *SETS]
GENERATE = ["generate", "runs/story-pico", "The queen", "--max-tokens", "20"]

AUDITED = """
import sys
FORBIDDEN = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.__new__",
             "pickle.find_class")
seen = []
sys.addaudithook(lambda event, arguments: seen.append((event, arguments))
                 if event in FORBIDDEN else None)
from groundup.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(len(seen), seen, file=sys.stderr)
sys.exit(9 if seen else 0)
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def without_network() -> list[str] | None:
    for options in (["-n"], ["-r", "-n"]):
        command = ["unshare", *options]
        if (
            shutil.which("unshare")
            and not subprocess.run([*command, "true"], capture_output=True, check=False).returncode
        ):
            return command
    return None


def test_without_a_network(tmp_path: Path) -> None:
    unshare = without_network()
    if unshare is None:
        pytest.skip("an empty network namespace needs unshare and the privilege to use it")
    probe = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    assert "unreachable" in run(tmp_path, *unshare, sys.executable, "-c", probe).stderr.lower()
    text_file(tmp_path)
    for words in (TRAIN, GENERATE):
        done = run(tmp_path, *unshare, sys.executable, "-m", "groundup", *words)
        assert done.returncode == 0, done.stderr
    assert "The queen" in done.stdout


def test_no_socket_is_opened_and_nothing_unpickled(tmp_path: Path) -> None:
    text_file(tmp_path)
    for words in (TRAIN, GENERATE):
        done = run(tmp_path, sys.executable, "-c", AUDITED, *words)
        assert done.returncode == 0, done.stderr
    unpickled = AUDITED.replace("try:", "import pickle; pickle.loads(pickle.dumps(main))\ntry:")
    assert run(tmp_path, sys.executable, "-c", unpickled, *GENERATE).returncode == 9
