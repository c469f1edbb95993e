"""Commands of all verbs, and what may go wrong with them: words, files, the system below.

What is drawn from a random number is always the same, on whatever it is done.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.mutate import mutated

Harm = Callable[[random.Random], None]

TINY = "--preset pico --set emb_dim=16 --set n_heads=2 --set n_layers=1 --set context_length=64 "
TINY += "--set batch_size=2 --set eval_tokens=64 --set sample_tokens=3 --set threads=1"
HERE = "--set batch_size=2 --set eval_tokens=64 --set sample_tokens=3 --set threads=1"
GIVEN = {
    "story": f"train story.txt {TINY} --vocab-size 300 --steps 4 --set eval_every=2",
    "letters": f"train texts {TINY} --tokenizer chars --steps 2 --run letters",
    "mail": f"finetune classify story-pico --records mail.csv --steps 2 {HERE} --run mail",
    "talks": f"finetune instruct story-pico --records talks.jsonl --steps 2 {HERE} --run talks",
    "thin": f"finetune instruct talks --records talks.jsonl --method lora --steps 1 {HERE} "
    "--run thin",
    "hf": "export story-pico hf",
    "gguf": "export story-pico model.gguf",
    "peft": "export thin peft --format peft",
    "narrow": "quantize story-pico --to runs/narrow --limit 900",
}
"""Commands that make what is given, besides the texts."""
COMMANDS = [
    f"train story.txt {TINY} --vocab-size 300 --steps 6 --set eval_every=2",
    f"train texts/*.txt {TINY} --steps 1 --run new",
    f"train - {TINY} --tokenizer bytes --steps 1 --run new",
    f"train story.txt --from story-pico --steps 1 --run new {HERE}",
    f"train mail.csv --text-field text {TINY} --steps 1 --run new --json",
    "train story.txt --extend 5",
    "resume story-pico --extend 5",
    "resume letters",
    "generate story-pico The --max-tokens 3 --seed 1 --temperature 0.5",
    "generate letters --max-tokens 2 --checkpoint latest",
    "generate talks --chat Hello --max-tokens 2",
    "generate narrow The --max-tokens 2",
    "chat talks --seed 1",
    "chat letters --max-tokens 2",
    "evaluate story-pico",
    "evaluate letters --text story.txt --limit 3 --json",
    "evaluate talks",
    "import hf runs/new",
    "import model.gguf runs/new --json",
    "import peft runs/new --from talks",
    "export letters new --format hf --license mit",
    "export story-pico new.gguf",
    "export thin new --format peft",
    "export mail new --format safetensors",
    "quantize letters --bits 4 --to runs/new --limit 900",
    "merge thin --to runs/new",
    "plan nano --set n_layers=3",
    "plan story-pico --json",
    "runs",
    "runs --json",
    "compare story-pico letters --out new.html",
    "report story-pico",
    "replay story-pico",
    f"finetune classify letters --records mail.csv --steps 1 --run new {HERE}",
    f"finetune instruct talks --records talks.jsonl --steps 1 --run new {HERE}",
    f"finetune instruct talks --records pairs.jsonl --steps 1 --run new {HERE}",
    "classify mail 'a word'",
    "classify mail --file mail.csv --json",
    "lab",
    "lab arms.toml --text story.txt",
    "data list",
    "data get shakespeare",
    "data prepare story.txt --data new --vocab-size 300",
    "data prepare texts --tokenizer letters",
]
ODD = [
    "", " ", "-", "--", ".", "..", "/", "~", "*", "[", "x\udcff", "runs/x\udcff", "x\x1b[2J",
    "a\nb", "é", "²", "-1", "0", "1", "2.5", "nan", "inf", "1e999", "9" * 400, "1" * 20, "0x10",
    "1_000", "١", "y" * 300, "y/" * 3000, "x=y", "=", "=1", "steps=", "none", "true", "auto",
    "/dev/null", "/dev/full", "/dev/zero", "/proc/self/mem", "/nowhere/x", "story.txt", "texts",
    "runs", "runs/letters", "story-pico", "data", "hf", "model.gguf", "mail.csv", "talks.jsonl",
    "arms.toml", "runs/letters/run.toml", "link", "loop", "dangling", "empty", "odd", "pipe",
    "http://127.0.0.1:9", "best", "latest", "99", "--json", "--help", "--debug", "--version", "-h",
]  # fmt: skip
"""Words that stand where they were not meant to."""
FORMS = {".json": "json", ".jsonl": "lines", ".toml": "toml", ".safetensors": "safetensors"}
REFUSALS = [
    errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.ENOLCK, errno.ENAMETOOLONG,
    errno.EMFILE, errno.EDQUOT, errno.EPERM, errno.ESTALE, errno.ENOENT,
]  # fmt: skip
"""What a system says of an operation that it does not carry out."""
WATCHED = {
    "open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.scandir", "os.listdir",
    "os.chmod", "os.truncate", "fcntl.flock", "mmap.__new__", "os.link", "os.symlink",
}  # fmt: skip


class Refusing:
    """A system that refuses the n-th operation on files below a folder, once or from then on."""

    def __init__(self) -> None:
        self.left, self.number, self.goes_on = 0, 0, False
        sys.addaudithook(self._hook)

    def arm(self, left: int, number: int, goes_on: bool) -> None:
        """Begin to count."""
        self.left, self.number, self.goes_on = left, number, goes_on
        genuine = os.fsync

        def fsync(descriptor: Any) -> None:
            self._hook("os.fsync", ())
            genuine(descriptor)

        os.fsync = fsync  # type: ignore[assignment]
        WATCHED.add("os.fsync")

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.number or event not in WATCHED:
            return
        name = arguments[0] if arguments else None
        if isinstance(name, str | bytes | os.PathLike) and not _is_own(os.fspath(name)):
            return
        if isinstance(name, int) and event == "open":
            return
        self.left -= 1
        if self.left == 0 or (self.left < 0 and self.goes_on):
            given = (name,) if isinstance(name, str | bytes | os.PathLike) else ()
            raise OSError(self.number, os.strerror(self.number), *given)


def _is_own(name: str | bytes) -> bool:
    """Whether a file is one of the command's, and none of Python's or of the system's."""
    path = os.fsdecode(name)
    return not path.startswith("/") or Path.cwd() in Path(path).parents


REFUSING = Refusing()


def words_of(r: random.Random) -> tuple[list[str], Harm]:
    """Return the words of a command, and what happens to its folder and system before."""
    words = shlex.split(r.choice(COMMANDS))
    where: list[Harm] = []
    if r.random() < 0.45:
        for _ in range(r.choice((1, 1, 1, 2, 3))):
            words = _change_words(words, r)
    if r.random() < 0.45:
        where += [_harm_file] * r.choice((1, 1, 2))
    if r.random() < 0.35 or (not where and r.random() < 0.5):
        where.append(r.choice((_refuse, _refuse, _refuse, _fill_disk)))

    def prepare(r: random.Random) -> None:
        for change in where:
            change(r)

    return words, prepare


def _change_words(words: list[str], r: random.Random) -> list[str]:
    words = list(words) or [""]
    at = r.randrange(len(words))
    flags = [word for command in COMMANDS for word in command.split() if word.startswith("--")]
    match r.randrange(9):
        case 0:
            del words[at]
        case 1:
            words.insert(at, words[at])
        case 2:
            other = r.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        case 3 | 4:
            words[at] = r.choice(ODD)
        case 5:
            words.insert(at + 1, r.choice(ODD))
        case 6:
            words[at:at] = [r.choice(flags), r.choice(ODD)]
        case 7:
            place = r.randrange(len(words[at]) + 1)
            middle = r.choice(["\x1b", "\udcff", "/", "=", "", " ", "\n", "-", "0", "x" * 250])
            words[at] = words[at][:place] + middle + words[at][place + r.randrange(2) :]
        case _:
            words[at] = r.choice(shlex.split(r.choice(COMMANDS)))
    return [word.replace("\0", "") for word in words]


def _harm_file(r: random.Random) -> None:
    """Damage, replace or remove one of the files and folders in the current folder."""
    path = r.choice(sorted(Path().rglob("*")))
    others = sorted(path.parent.iterdir())
    if path.is_symlink() or r.random() < 0.2:
        _remove(path)
    elif r.random() < 0.3:
        _remove(path)
        _replace(path, r.choice(others), r)
    elif path.is_file():
        form = FORMS.get(path.suffix, "bytes")
        try:
            path.write_bytes(mutated(path.read_bytes(), form, r))
        except (ValueError, IndexError):  # damaged before
            path.write_bytes(r.randbytes(50))
    else:
        path.rename(os.fsdecode(os.fsencode(path) + r.choice((b"\xff", b"\x1b[2J", b"\n", b" "))))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _replace(path: Path, other: Path, r: random.Random) -> None:
    match r.randrange(7):
        case 0:
            path.mkdir()
        case 1:
            path.touch()
        case 2:
            path.symlink_to(path.name)
        case 3:
            path.symlink_to(other.name)
        case 4:
            os.mkfifo(path)
        case 5:
            path.write_bytes(r.choice((b"\n", b"{}", b"[]", b"null", b"\xff\xfe", b"\0" * 99)))
        case _ if other != path and other.exists():
            copy = shutil.copytree if other.is_dir() else shutil.copy
            with contextlib.suppress(OSError, shutil.Error):
                copy(other, path)


def _refuse(r: random.Random) -> None:
    REFUSING.arm(int(r.paretovariate(0.35)), r.choice(REFUSALS), r.random() < 0.3)


def _fill_disk(r: random.Random) -> None:
    size = r.choice((0, r.randrange(100), r.randrange(3000), r.randrange(100_000)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
