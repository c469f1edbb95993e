"""`groundup generate` and `groundup chat`: text from a trained model."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.base.errors import DataError, UsageError
from groundup.cli.app import app, verb

if TYPE_CHECKING:
    from groundup.runs.load import LoadedRun

Run = Annotated[Path, typer.Argument(help="A run folder, such as runs/shakespeare-nano.")]
MaxTokens = Annotated[int, typer.Option(help="Most tokens to write.")]
Temperature = Annotated[float, typer.Option(help="0 is greedy, above 1 is wild.")]
TopK = Annotated[int, typer.Option(help="Choose among the k likeliest tokens; 0 is off.")]
TopP = Annotated[float, typer.Option(help="Choose among the likeliest with this share; 1 is off.")]
MinP = Annotated[float, typer.Option(help="Drop tokens below this fraction of the best; 0 is off.")]
Penalty = Annotated[float, typer.Option(help="Above 1 repeats less; 1 is off.")]
Seed = Annotated[int | None, typer.Option(help="Write the same again; a new seed without it.")]
Stop = Annotated[list[str] | None, typer.Option(help="End before this text; may be repeated.")]
Which = Annotated[str, typer.Option("--checkpoint", help="best, latest or a step number.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or mps.")]


@verb(app, "generate")
def generate(
    run: Run,
    prompts: Annotated[
        list[str] | None, typer.Argument(help="What to continue; - reads standard input.")
    ] = None,
    max_tokens: MaxTokens = 200,
    temperature: Temperature = 0.8,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    min_p: MinP = 0.0,
    repetition_penalty: Penalty = 1.0,
    seed: Seed = None,
    stop: Stop = None,
    checkpoint: Which = "best",
    device: Device = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False,
) -> None:
    """Continue one or several prompts with a trained model."""
    options: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
        "stop": stop or [],
    }
    texts = [_read_input() if text == "-" else text for text in prompts or [""]]
    loaded = _load(run, checkpoint, device)
    if len(texts) == 1 and not as_json:
        _stream(loaded, texts[0], options)
        return
    from groundup.generate import generate as write

    written = write(loaded.model, loaded.tokenizer, texts, **options)
    if as_json:
        pairs = zip(texts, written, strict=True)
        print(json.dumps([{"prompt": p, "text": t} for p, t in pairs], ensure_ascii=False))
        return
    print("\n\n".join(f"{prompt}{text}" for prompt, text in zip(texts, written, strict=True)))


@verb(app, "chat")
def chat(
    run: Run,
    max_tokens: MaxTokens = 200,
    temperature: Temperature = 0.8,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    min_p: MinP = 0.0,
    repetition_penalty: Penalty = 1.0,
    seed: Seed = None,
    stop: Stop = None,
    checkpoint: Which = "best",
    device: Device = "cpu",
) -> None:
    """Write in turns with a model; standard input may be piped, a line a turn."""
    from groundup.generate import Chat

    loaded = _load(run, checkpoint, device)
    print(f"{run} has no chat template: it continues text instead of answering.", file=sys.stderr)
    talk = Chat(
        loaded.model,
        loaded.tokenizer,
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        stop=stop or [],
    )
    at_terminal = sys.stdin.isatty()
    if at_terminal:
        print("An empty line lets it go on; Ctrl-D ends.", file=sys.stderr)
    while True:
        try:
            line = input("> ") if at_terminal else next(sys.stdin).rstrip("\n")
        except (EOFError, StopIteration):
            return
        except UnicodeDecodeError as error:
            raise _not_text(error) from error
        for piece in talk.say(line):
            print(piece, end="", flush=True)
        print()


def _read_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise _not_text(error) from error


def _not_text(error: UnicodeDecodeError) -> DataError:
    return DataError(f"standard input: expected {error.encoding} text, but {error.reason}; mend it")


def _load(run: Path, checkpoint: str, device: str) -> LoadedRun:
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


def _stream(loaded: LoadedRun, prompt: str, options: dict[str, Any]) -> None:
    from groundup.generate import stream

    pieces = stream(loaded.model, loaded.tokenizer, prompt, **options)
    first = next(pieces, "")  # where the prompt has no tokens, nothing is printed but the error
    for piece in itertools.chain([prompt, first], pieces):
        print(piece, end="", flush=True)
    print()
