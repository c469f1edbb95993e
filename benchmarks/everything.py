"""Every figure of docs/performance.md on this machine, part after part, resumable.

    python -m benchmarks.everything --work W --text tinyshakespeare.txt --nanogpt nanoGPT
    python -m benchmarks.everything --list --work W     # what there is, and what is there already

Each part is the command that README.md gives for it, in a process of its own. A part whose result
for this machine is from this state of the code is left as it is (`--again` measures it anew), what
a part keeps of its work lies in WORK by that state, and the same command goes on. A part that fails
is named at the end, and holds up no other.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import RESULTS, machine_folder, state_of_code
from benchmarks.turns import ROOT

PEERS = ("text", "nanogpt", "litgpt", "llama", "model")


@dataclass(frozen=True)
class Part:
    """A command that writes one result."""

    words: str
    """Its module and arguments."""
    minutes: float
    """What it takes on two cores, about."""
    options: tuple[str, ...] = ()
    """Which paths it is told where they are known; of `work` its own folder."""
    needs: tuple[str, ...] = ()
    """Which of them it can't do without."""


WORK = ("work",)
TEXT = ("text",)
PARTS: dict[str, Part] = {
    "training": Part("training", 11, PEERS),
    "generation": Part("generation --speak-rounds 2", 8, PEERS),
    "startup": Part("startup --rounds 7", 4, PEERS),
    "tokenizing": Part("tokenizing", 5, PEERS),
    "speedrun": Part("speedrun", 5, PEERS, TEXT),
    "long_context": Part("long_context", 10),
    "safety": Part("safety", 10),
    "busy": Part("busy", 11, WORK),
    "memory": Part("memory", 10, WORK),
    "training_long": Part("training --long", 8, (*PEERS, *WORK)),
    "training_large": Part("training --large", 80, (*PEERS, *WORK)),
    "speedrun_long": Part("speedrun_long", 75, (*TEXT, *WORK), TEXT),
    "optimizers": Part("optimizers", 30, WORK),
    "recipe": Part("recipe", 130, (*WORK, "beside"), ("beside",)),
    **{
        f"finetuning_{suite}": Part(f"finetuning {suite}", minutes, WORK)
        for suite, minutes in {
            "table": 60, "sms": 60, "mail": 60, "speed": 30, "memory": 10
        }.items()
    },
    **{
        f"instructing_{suite}": Part(f"instructing {suite}", minutes, (*WORK, "peer_python"))
        for suite, minutes in {"answers": 70, "reward": 35, "speed": 40, "memory": 10}.items()
    },
    "gpu": Part("gpu", 5, PEERS),
}  # fmt: skip
"""By the name of their results; those that are quick come first."""
SHARED = {"finetuning": "tuning", "instructing": "tuning"}
"""Parts that fetch the same models and texts share a folder of work."""


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.everything",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, required=True, help="where parts keep their work")
    parser.add_argument("--text", type=Path, help="tinyshakespeare.txt")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of karpathy/nanoGPT")
    parser.add_argument("--litgpt", type=Path, help="the python of an environment with litgpt")
    parser.add_argument("--llama", type=Path, help="that of one with llama-cpp-python")
    parser.add_argument("--model", type=Path, help="a run folder to talk with, for startup")
    parser.add_argument("--peer-python", type=Path, help="the python of one with trl")
    parser.add_argument("--beside", type=Path, help="a checkout of an older state, for recipe")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--list", action="store_true", help="only say what there is to do")
    options = parser.parse_args(words)
    for name in (*PEERS, "peer_python", "beside"):
        path = getattr(options, name)
        if path is not None and not path.exists():
            parser.error(f"--{name.replace('_', '-')} {path}: no such path")
        setattr(options, name, path and path.absolute())  # an environment's python is a link
    options.work = options.work.absolute()
    return options


def to_do(options: argparse.Namespace, state: str) -> Iterator[tuple[str, str]]:
    """Yield each part that was asked for, with why it is left out; "" where it is to be done."""
    for name in options.only:
        part = PARTS[name]
        lacking = [f"--{need}" for need in part.needs if getattr(options, need) is None]
        if lacking:
            yield name, f"not given: {', '.join(lacking)}"
        elif name == "gpu" and not shutil.which("nvidia-smi"):
            yield name, "no NVIDIA GPU"
        elif not options.again and is_there(name, state):
            yield name, f"there already, of {state}"
        else:
            yield name, ""


def is_there(name: str, state: str) -> bool:
    """Return whether this machine has the result of a part from this very state of the code."""
    folders = RESULTS.iterdir() if name == "gpu" else [RESULTS / machine_folder()]
    found = [folder / f"{name}.json" for folder in folders]
    states = [json.loads(path.read_text())["commit"] for path in found if path.exists()]
    return state in states and not state.endswith("-dirty")


def command(name: str, options: argparse.Namespace, state: str) -> list[str]:
    """Return the command of a part."""
    part = PARTS[name]
    module, *words = part.words.split()
    for option in part.options:
        path = getattr(options, option)
        if option == "work":
            path = path / state / SHARED.get(module, name)
            path.mkdir(parents=True, exist_ok=True)
        if path is not None:
            words += [f"--{option.replace('_', '-')}", str(path)]
    return [sys.executable, "-m", f"benchmarks.{module}", *words]


def main() -> None:
    options, state = parse(), state_of_code()
    failed = []
    for name, why_not in to_do(options, state):
        said = why_not or f"to do, about {PARTS[name].minutes:g} minutes"
        print(f"{name}: {said}", file=sys.stderr, flush=True)
        if why_not or options.list:
            continue
        if subprocess.run(command(name, options, state), cwd=ROOT).returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; the same command tries them again")


if __name__ == "__main__":
    main()
