"""Verbs that are given what never ends: each in a process with 6 GiB of address space, watched.

    python -m tests.faults.bombs FOLDER few|all

makes genuine files in FOLDER, puts something endless in the place of each, and prints a JSON object
a line: what was done, how it ended, what it said, and how many seconds of processor time it took.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from groundup.base.files import write_json
from groundup.cli import main
from groundup.runs.checkpoint import MODEL, sealed
from tests.faults.targets import MANIFEST, SETTINGS, SHAPE, genuine
from tests.tokenizer.test_trial import HOSTILE

MEMORY = 6_291_456 << 10
"""Bytes, as `ulimit -v 6291456` says it in KiB."""
STUCK = 120.0
"""Seconds after which a process is ended, on a machine however busy; of processor time, 20."""
HOLE = 100 << 30
UNPACKED = 10 << 30
"""Bytes, on one line."""
MIB = 1 << 20
SET = (word for k, v in (SHAPE | SETTINGS).items() for word in ("--set", f"{k}={v}"))
TRAIN = ["train", "--preset", "pico", "--run", "new", *SET]
RUN = "runs/run"
Put = Callable[[Path, bytes], object]


def sparse(path: Path, content: bytes) -> None:
    """Write the genuine content with a hole behind it, which is read as zeros."""
    with path.open("wb") as file:
        file.write(content)
        file.truncate(len(content) + HOLE)


def sealed_hole(path: Path, content: bytes) -> None:
    """Do the same to the tensors of every checkpoint, and have their manifests agree."""
    for folder in Path(RUN, "checkpoints").iterdir():
        files = json.loads((folder / MANIFEST).read_bytes())["files"]
        sparse(folder / path.name, content)
        files[path.name]["size"] = (folder / path.name).stat().st_size
        write_json(folder / MANIFEST, sealed(2, files))


KINDS: dict[str, Put] = {
    "hole": sparse,
    "endless": lambda path, content: path.symlink_to("/dev/zero"),
    "pipe": lambda path, content: os.mkfifo(path),
}


def packed(compress: Callable[[bytes], bytes], head: bytes = b"", fill: bytes = b"a") -> Put:
    """Return what writes 10 GiB, by default on one line, packed in parts that follow each other."""

    def put(path: Path, content: bytes) -> None:
        part = compress(fill * MIB * 64)
        with path.open("wb") as file:
            file.write(compress(head))
            for _ in range(UNPACKED // MIB // 64):
                file.write(part)

    return put


def written(text: str) -> Put:
    """Return what writes a text."""
    return lambda path, content: path.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Case:
    """A verb, and what is put in the place of a file of its; `few` are tried in every test."""

    words: list[str]
    file: str = "nothing"
    kind: str = ""
    put: Put | None = None
    stdin: str = os.devnull
    few: bool = False
    may_pass: bool = False
    """Whether the verb may do without this file."""
    label: str = field(init=False)

    def __post_init__(self) -> None:
        name = f"{' '.join(w for w in self.words if '=' not in w and w != '--set')[:60]}"
        where = f"{self.kind} as {self.file}" if self.put else f"from {self.stdin}"
        object.__setattr__(self, "label", f"{name}: {where}")


def cases(root: Path) -> Iterator[Case]:
    """Yield what is tried, in a folder of genuine files."""
    yield from _run_files(root)
    yield from _imports(root)
    yield from _given_files()
    yield from _programs(root)


def _run_files(root: Path) -> Iterator[Case]:
    train = [*TRAIN, "text.txt"]
    use, again = ["generate", RUN, "a", "--max-tokens", "2"], ["resume", RUN, "--extend", "3"]
    show, out = ["report", RUN], ["export", RUN, "out"]
    verbs = {
        "run.toml": [use, again, show, out],
        "tokenizer.json": [use, out],
        "generation.toml": [use, out],
        "chat_template.jinja": [out, ["chat", RUN]],
        "metrics.jsonl": [again, show],
        "samples.jsonl": [show],
    }
    for name, each in verbs.items():
        for words in each:
            few = words is use and name == "run.toml"
            passes = words is again and name == "metrics.jsonl"  # which is cut back first
            yield Case(words, f"{RUN}/{name}", "hole", sparse, few=few, may_pass=passes)
    for path in sorted((root / RUN).glob("checkpoints/*/*")):
        name = str(path.relative_to(root))
        for words in (use, again):
            # An earlier checkpoint, or the weights alone, may be enough.
            yield Case(words, name, "hole", sparse, may_pass=True)
        if path.name == MODEL:
            yield Case(use, name, "hole that its manifest tells", sealed_hole, few=True)
    for path in sorted((root / "data").glob("*/*.*")):
        for kind, put in KINDS.items():
            yield Case(train, str(path.relative_to(root)), kind, put, few=kind == "pipe")


def _imports(root: Path) -> Iterator[Case]:
    for folder in ("hf", "safetensors"):
        words = ["import", folder, "new"]
        for name in sorted({path.name for path in (root / folder).iterdir()} - {"README.md"}):
            for kind, put in KINDS.items():
                few = folder == "hf" and name == "config.json" and kind != "hole"
                passes = name == "generation_config.json" and kind == "hole"  # told, passed over
                yield Case(words, f"{folder}/{name}", kind, put, few=few, may_pass=passes)
    for kind, put in KINDS.items():
        yield Case(["import", "gguf", "new"], "gguf", kind, put, may_pass=kind == "hole")
        yield Case(["import", "m.pt", "new", "--trust-pickle"], "m.pt", kind, put)


def _given_files() -> Iterator[Case]:
    for kind, put in KINDS.items():
        for ending in (".txt", ".jsonl", ".json", ".csv", ".parquet", ".html", ".epub", ".docx",
                       ".zip", ".txt.gz", ".jsonl.xz"):  # fmt: skip
            yield Case([*TRAIN, f"in{ending}"], f"in{ending}", kind, put)
        for ending in (".jsonl", ".csv", ".parquet"):
            for job in ("classify", "instruct"):
                words = ["finetune", job, RUN, "--run", "new", "--records", f"in{ending}"]
                yield Case(words, f"in{ending}", kind, put)
        for verb in (["evaluate", RUN], ["quantize", RUN, "--to", "new"]):
            few = kind != "hole" and verb[0] == "evaluate"
            yield Case([*verb, "--text", "in.txt"], "in.txt", kind, put, few=few)
        tasks = ["evaluate", RUN, "--tasks", "hellaswag", "--data", "in.jsonl"]
        yield Case(tasks, "in.jsonl", kind, put)
        yield Case([*TRAIN, "text.txt", "--tokenizer", "in.json"], "in.json", kind, put)
        yield Case(["lab", "in.toml"], "in.toml", kind, put)
        yield Case(["lab", "in.py"], "in.py", kind, put)
    head = b'{"text": "'
    for ending, compress in (
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
    ):
        few = ending == ".gz"
        for name, start in ((f"in.txt{ending}", b""), (f"in.jsonl{ending}", head)):
            yield Case([*TRAIN, name], name, "10 GiB on a line", packed(compress, start), few=few)
    records = ["finetune", "classify", RUN, "--run", "new", "--records", "in.csv.gz"]
    start = b"text,label\n"
    yield Case(records, "in.csv.gz", "10 GiB on a line", packed(gzip.compress, start))
    lines = packed(gzip.compress, fill=b"\n")
    yield Case([*TRAIN, "in.jsonl.gz"], "in.jsonl.gz", "10 GiB of empty lines", lines)
    for words in ([*TRAIN, "-"], ["generate", RUN, "-"], ["evaluate", RUN, "--text", "-"]):
        yield Case(words, stdin="/dev/zero", few=words[0] != "evaluate")
    yield Case(["chat", RUN], stdin="/dev/zero")


def _programs(root: Path) -> Iterator[Case]:
    loop = "{% for i in range(10**5) %}"
    ends = "{% endfor %}"
    for source in (loop * 3 + ends * 3, "{{ 'a' * 10**10 }}", "{{ 'a' | center(10**10) }}"):
        template = f"{RUN}/chat_template.jinja"
        yield Case(["chat", RUN], template, source, written(source), stdin=str(root / "text.txt"))
    genuine = json.loads((root / RUN / "tokenizer.json").read_text("utf-8"))
    for name, (document, _) in HOSTILE.items():
        rules = {key: document[key] for key in document if key not in ("model", "added_tokens")}
        bomb = written(json.dumps(genuine | rules))
        words = ["generate", RUN, "a", "--max-tokens", "2"]
        few = name in ("replacements multiply", "a pattern explodes")
        if any(rules.values()):
            yield Case(words, f"{RUN}/tokenizer.json", name, bomb, few=few)


def tried(case: Case, genuine_files: Path, place: Path) -> dict[str, object]:
    """Do what a case says in a copy of the genuine files; return how it ended."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(genuine_files, place)
    os.chdir(place)
    path = Path(case.file)
    content = path.read_bytes() if path.exists() else b""
    path.unlink(missing_ok=True)
    if case.put:
        case.put(path, content)
    found = in_process(case.words, case.stdin)
    return {"label": case.label, "may_pass": case.may_pass, **found}


def in_process(words: list[str], stdin: str) -> dict[str, object]:
    """Call a verb in a copy of this process; return its exit, its words and its seconds."""
    said, begun = Path("said"), time.monotonic()
    if not (child := os.fork()):
        _become(words, stdin, said)
    status, usage = 0, None
    while usage is None:
        ended, status, used = os.wait4(child, os.WNOHANG)
        usage = used if ended else None
        if time.monotonic() - begun > STUCK:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.01)
    return {
        "exit": os.waitstatus_to_exitcode(status),
        "said": said.read_text("utf-8", errors="replace"),
        "seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "mib": usage.ru_maxrss >> 10,
    }


def _become(words: list[str], stdin: str, said: Path) -> None:
    """Be the command, as a shell would start it."""
    os.setpgid(0, 0)
    for number, name in enumerate((stdin, os.devnull, str(said))):
        flags = os.O_RDONLY if not number else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(name, flags), number)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, encoding="utf-8") for number, mode in enumerate(("r", "w", "w"))
    )
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    sys.argv = ["groundup", *words]
    code = 99
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 98
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def run_all(folder: Path, how_many: str) -> None:
    """Print how each of the cases ended, made in `folder`."""
    torch.set_num_threads(1)
    files = folder / "genuine"
    files.mkdir()
    genuine(files)
    next(files.glob("*.txt")).rename(files / "text.txt")
    (files / RUN / "samples.jsonl").touch()
    for case in cases(files):
        if how_many == "all" or case.few:
            print(json.dumps(tried(case, files, folder / "now")), flush=True)


if __name__ == "__main__":
    run_all(Path(sys.argv[1]).resolve(), sys.argv[2])
