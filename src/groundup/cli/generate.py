"""`groundup generate`: text from a trained model."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.base.errors import UsageError
from groundup.cli.app import app, tell, verb
from groundup.cli.options import (
    SAMPLING,
    AsJSON,
    Compiled,
    Device,
    System,
    Which,
    load_run,
    sampling_line,
    takes,
)
from groundup.cli.run_names import Run
from groundup.cli.standard_io import read_input, show

if TYPE_CHECKING:
    from groundup.runs.load import LoadedRun


@verb(app, "generate")
@takes(SAMPLING, before="checkpoint")
def generate(
    run: Run,
    prompts: Annotated[
        list[str] | None, typer.Argument(help="What to continue; - reads standard input.")
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Answer each prompt instead, by the run's chat template.")
    ] = False,
    system: System = "",
    *,
    checkpoint: Which = "best",
    device: Device = "cpu",
    compiled: Compiled = False,
    as_json: AsJSON = False,
    **sampling: Any,
) -> None:
    """Continue prompts with a model, or answer them."""
    if system and not chat:
        raise UsageError("--system is for an answer; add --chat, or write it into the prompt")
    if chat and not prompts:
        raise UsageError("--chat: nothing to answer; give a prompt, or - for standard input")
    texts = [read_input() if text == "-" else text for text in prompts or [""]]
    if compiled and len(texts) > 1 and not chat:
        raise UsageError(
            f"--compile: {len(texts)} prompts are written at once, uncompiled; give one, or write "
            "without --compile"
        )
    loaded = load_run(run, checkpoint, device, compiled)
    if chat and loaded.chat_template is None:
        raise UsageError(f"--chat: {run} has no chat template; without --chat it continues text")
    if len(texts) == 1 and not as_json:
        if chat:
            show(next(_answers(loaded, texts, system, sampling)))
        else:
            show(_continuation(loaded, texts[0], sampling), prompt=texts[0])
        return
    if chat:
        written = list(map("".join, _answers(loaded, texts, system, sampling)))
    else:
        written = _continuations(loaded, texts, sampling)
    if as_json:
        pairs = zip(texts, written, strict=True)
        rows = [{"prompt": p, "text": t} for p, t in pairs]
        show([json.dumps(rows, ensure_ascii=False)])
        return
    for n, (prompt, text) in enumerate(zip(texts, written, strict=True)):
        show([text], prompt="" if chat else prompt, first=n == 0)


def _continuation(loaded: LoadedRun, prompt: str, sampling: dict[str, Any]) -> Iterator[str]:
    """Return what follows a prompt, in pieces; the first one has been generated already."""
    from groundup.generate import run_settings, stream

    pieces = stream(loaded.model, loaded.tokenizer, prompt, **run_settings(loaded, **sampling))
    first = next(pieces, "")  # where the prompt has no tokens, nothing is printed but the error
    return itertools.chain([first], pieces)


def _continuations(loaded: LoadedRun, prompts: list[str], sampling: dict[str, Any]) -> list[str]:
    """Return what follows each prompt."""
    from groundup.generate import generate, run_settings

    return generate(loaded.model, loaded.tokenizer, prompts, **run_settings(loaded, **sampling))


def _answers(
    loaded: LoadedRun, prompts: list[str], system: str, sampling: dict[str, Any]
) -> Iterator[Iterator[str]]:
    """Yield the answer to each prompt, in pieces; none knows of the others."""
    from groundup.generate import open_chat

    talk = open_chat(loaded, system=system, **sampling)
    if sampling["temperature"] is None and "temperature" not in loaded.generation:
        tell(sampling_line(loaded, talk.sampling, sampling))
    for prompt in prompts:
        talk.clear()
        yield talk.say(prompt.removesuffix("\n"))
