"""`groundup generate` and `groundup chat`: text from a trained model."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.base.errors import DataError, UsageError
from groundup.cli.app import app, verb

if TYPE_CHECKING:
    from groundup.runs.load import LoadedRun

Run = Annotated[Path, typer.Argument(help="A run folder, such as runs/shakespeare-nano.")]
MaxTokens = Annotated[int, typer.Option(help="Most tokens to write.")]
Temperature = Annotated[
    float | None, typer.Option(help="0 is greedy, above 1 is wild; the run's own, or 0.8.")
]
TopK = Annotated[
    int | None, typer.Option(help="Choose among the k likeliest tokens; the run's own, or 0 (off).")
]
TopP = Annotated[
    float | None, typer.Option(help="Choose among the likeliest with this share; likewise, or 1.")
]
MinP = Annotated[
    float | None, typer.Option(help="Drop tokens below this fraction of the best; likewise, or 0.")
]
Penalty = Annotated[float | None, typer.Option(help="Above 1 repeats less; likewise, or 1 (off).")]
Seed = Annotated[int | None, typer.Option(help="Write the same again; a new seed without it.")]
Stop = Annotated[list[str] | None, typer.Option(help="End before this text; may be repeated.")]
System = Annotated[str, typer.Option(help="What the model is told first, as its system message.")]
Lookup = Annotated[
    bool,
    typer.Option(
        "--lookup/--no-lookup",
        help="Guess ahead where a text repeats itself: the same text, sooner.",
    ),
]
Which = Annotated[str, typer.Option("--checkpoint", help="best, latest or a step number.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or mps.")]


@verb(app, "generate")
def generate(
    run: Run,
    prompts: Annotated[
        list[str] | None, typer.Argument(help="What to continue; - reads standard input.")
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Answer each prompt instead, by the run's chat template.")
    ] = False,
    system: System = "",
    max_tokens: MaxTokens = 200,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: Penalty = None,
    seed: Seed = None,
    stop: Stop = None,
    lookup: Lookup = True,
    checkpoint: Which = "best",
    device: Device = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False,
) -> None:
    """Continue prompts with a model, or answer them."""
    options: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
        "stop": stop,
        "lookup": lookup,
    }
    if system and not chat:
        raise UsageError("--system is for an answer; add --chat, or write it into the prompt")
    if chat and not prompts:
        raise UsageError("--chat: nothing to answer; give a prompt, or - for standard input")
    texts = [_read_input() if text == "-" else text for text in prompts or [""]]
    loaded = load_run(run, checkpoint, device)
    if chat and loaded.chat_template is None:
        raise UsageError(f"--chat: {run} has no chat template; without --chat it continues text")
    if len(texts) == 1 and not as_json:
        [text] = texts
        _show(_answer(loaded, text, system, options) if chat else _go_on(loaded, text, options))
        return
    if chat:
        written = ["".join(_answer(loaded, t, system, options, n)) for n, t in enumerate(texts)]
    else:
        written = _go_on_all(loaded, texts, options)
    if as_json:
        pairs = zip(texts, written, strict=True)
        print(json.dumps([{"prompt": p, "text": t} for p, t in pairs], ensure_ascii=False))
        return
    before = [""] * len(texts) if chat else map(_shown, texts)
    print("\n\n".join(map("".join, zip(before, written, strict=True))))


@verb(app, "chat")
def chat(
    run: Run,
    system: System = "",
    max_tokens: MaxTokens = 200,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: Penalty = None,
    seed: Seed = None,
    stop: Stop = None,
    lookup: Lookup = True,
    checkpoint: Which = "best",
    device: Device = "cpu",
) -> None:
    """Talk with a model in turns.

    Standard input may be piped, a line a turn.
    """
    from groundup.generate import Conversation, open_chat

    loaded = load_run(run, checkpoint, device)
    talk = open_chat(
        loaded,
        system=system,
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        stop=stop,
        lookup=lookup,
    )
    answers = isinstance(talk, Conversation)
    if not answers:
        print(
            f"{run} has no chat template: it continues text instead of answering.", file=sys.stderr
        )
    for line in _lines("Ctrl-D ends." if answers else "An empty line lets it go on; Ctrl-D ends."):
        if answers and not line:
            continue
        forgotten = talk.forgotten
        pieces = talk.say(line)
        if talk.forgotten > forgotten:
            print("groundup: the context is full; the oldest turns are forgotten", file=sys.stderr)
        _show(pieces)


def _lines(hint: str) -> Iterator[str]:
    """Yield the lines that the user types, or those of a pipe."""
    at_terminal = sys.stdin.isatty()
    if at_terminal:
        print(hint, file=sys.stderr)
    while True:
        try:
            yield input("> ") if at_terminal else next(sys.stdin).rstrip("\n")
        except (EOFError, StopIteration):
            return
        except UnicodeDecodeError as error:
            raise _not_text(error) from error


def _read_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise _not_text(error) from error


def _not_text(error: UnicodeDecodeError) -> DataError:
    return DataError(f"standard input: expected {error.encoding} text, but {error.reason}; mend it")


def load_run(run: Path, checkpoint: str, device: str) -> LoadedRun:
    """Load a run, with a notice on standard error of what is damaged."""
    import torch

    from groundup.runs.load import load

    devices = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not devices.get(device):
        usable = ", ".join(name for name, there in devices.items() if there)
        raise UsageError(f"--device {device}: not on this machine; expected {usable}")
    loaded = load(run, checkpoint, device)
    for notice in loaded.notices:
        print(f"groundup: {notice}; using step {loaded.step}", file=sys.stderr)
    return loaded


def _go_on(loaded: LoadedRun, prompt: str, options: dict[str, Any]) -> Iterator[str]:
    """Yield a prompt and what follows it."""
    from groundup.generate import run_settings, stream

    pieces = stream(loaded.model, loaded.tokenizer, prompt, **run_settings(loaded, **options))
    first = next(pieces, "")  # where the prompt has no tokens, nothing is printed but the error
    return itertools.chain([_shown(prompt), first], pieces)


def _shown(prompt: str) -> str:
    """Return a prompt as it is shown: at a terminal one sees where it ends, elsewhere as it is."""
    from rich.console import Console

    from groundup.base.terminal import marked_prompt

    console = Console(highlight=False)
    if not console.is_terminal:
        return prompt
    with console.capture() as shown:
        console.print(marked_prompt(console, prompt), end="", soft_wrap=True)
    return shown.get()


def _go_on_all(loaded: LoadedRun, prompts: list[str], options: dict[str, Any]) -> list[str]:
    """Return what follows each prompt."""
    from groundup.generate import generate, run_settings

    return generate(loaded.model, loaded.tokenizer, prompts, **run_settings(loaded, **options))


def _answer(
    loaded: LoadedRun, prompt: str, system: str, options: dict[str, Any], row: int = 0
) -> Iterator[str]:
    """Return the pieces of the answer to one prompt, the `row`-th of several."""
    from groundup.generate import open_chat

    seed = options["seed"]
    options = options | {"seed": None if seed is None else seed + row}
    return open_chat(loaded, system=system, **options).say(prompt.removesuffix("\n"))


def _show(pieces: Iterable[str]) -> None:
    """Print a text as it comes."""
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
