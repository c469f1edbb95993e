"""`groundup import` and `groundup export`: models of others in, ours out."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.base.errors import UsageError
from groundup.base.file_names import RUNS
from groundup.cli.app import app, verb
from groundup.cli.options import AsJSON, Which
from groundup.cli.printing import progress_bar, say, suggest
from groundup.cli.run_names import Run, check_run, run_names

if TYPE_CHECKING:
    from groundup.weights import Conversion

NoVerify = Annotated[bool, typer.Option("--no-verify", help="Do not read the result back.")]


@verb(app, "import")
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="A model's folder (Hugging Face's, OpenAI's of GPT-2, of export --format "
            "safetensors), a hub name (openai-community/gpt2, or with @REVISION), a .gguf file, "
            "or a checkpoint (.pth, .pt, .bin, .safetensors) of the book's GPTModel, nanoGPT, "
            "minGPT, nanochat or llama2.c; or an adapter's folder of peft, with --from or its "
            "base's folder beside it.",
        ),
    ],
    dest: Annotated[
        Path | None, typer.Argument(help="The run folder to make [default: runs/NAME].")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            autocompletion=run_names,
            help="The run of the model that an adapter of peft was made for.",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Where SRC has none: a tokenizer.json, gpt2 or bytes."),
    ] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Read the weights of a pickle (.pth, .pt, .bin).")
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="What a checkpoint's tensors do not tell, as in n_heads=12, or the context_length "
            "of a model with longrope (Phi 3); may be repeated.",
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="The numbers that the run keeps: f32, bf16, f16 [default: as stored]."),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge an adapter into the base that it names.")
    ] = False,
    no_verify: NoVerify = False,
    as_json: AsJSON = False,
) -> None:
    """Bring in somebody's pretrained model.

    What comes of it is a run folder: generate, chat, evaluate, and train on from it; a classifier
    decides about texts.
    """
    from groundup.base.files import new_path
    from groundup.config import GPTConfig, parse_assignments
    from groundup.runs import RunFolder
    from groundup.runs.classifier import CLASSIFIER
    from groundup.tokenizer import build_tokenizer
    from groundup.weights.early_checks import (
        IncompleteError,
        check_format,
        check_source,
        is_adapter,
        named_base,
    )

    if tokenizer in ("bpe", "chars"):
        raise UsageError(
            f"--tokenizer {tokenizer}: such a one is made from a text, and here is none; give a "
            "tokenizer.json, gpt2 or bytes"
        )
    name = re.sub(r"\.(gguf|pth|pt|bin|safetensors)$", "", Path(source).resolve().name)
    stem = re.sub(r"[^\w.-]+", "_", name)
    path = dest or RUNS / stem
    (settings,) = parse_assignments(set_ or [], GPTConfig)
    if merge and not is_adapter(source):
        raise UsageError(f"--merge: {source} is no adapter's folder; leave it out")
    if base is not None or named_base(source):
        whose = {"--set": ("shape", settings), "--dtype": ("numbers", dtype),
                 "--tokenizer": ("tokenizer", tokenizer)}  # fmt: skip
        for option, (what, value) in whose.items():
            if value:
                raise UsageError(f"{option}: an adapter has its base's {what}; leave it out")
        if merge and base:
            raise UsageError(f"--merge with --from: import it, and then 'groundup merge {path}'")
        done = _import_adapter(source, path, base, merge, trust_pickle, not no_verify)
        _show("Imported", done, as_json)
        if not as_json:
            suggest("Next", "groundup", "chat", path)
        return
    check_source(source)
    check_format("safetensors", dtype)
    new_path(path)
    given = build_tokenizer(tokenizer, lambda: [], 0) if tokenizer else None
    from groundup.weights import import_model

    try:
        with progress_bar("Importing") as bar:
            done = import_model(
                source,
                path,
                tokenizer=given,
                trust_pickle=trust_pickle,
                settings=settings,
                dtype=dtype,
                verify=not no_verify,
                progress=bar,
            )
    except IncompleteError as error:
        typed = sys.argv[1:]
        end = typed.index("--") if "--" in typed else len(typed)  # behind it options are names
        command = shlex.join(["groundup", *typed[:end], *error.words, *typed[end:]])
        raise UsageError(f"{error.why}; the whole command: {command}") from None
    _show("Imported", done, as_json)
    if as_json:
        return
    if (manifest := RunFolder(path).read()).kind == CLASSIFIER and manifest.job:
        say("Labels", ", ".join(manifest.job.labels or []))
        suggest("Next", "groundup", "classify", path, "TEXT")
        return
    suggest("Next", "groundup", "chat", path)
    suggest("", "groundup", "train", "TEXT", "--from", path)


def _import_adapter(
    source: str, path: Path, base: Path | None, merge: bool, trust_pickle: bool, verify: bool
) -> Conversion:
    from groundup.base.files import new_path
    from groundup.runs.find import find_run
    from groundup.weights.early_checks import check_adapter

    check_adapter(source)
    new_path(path)
    if base is None:
        from groundup.weights import import_merged, import_with_base

        import_both = import_merged if merge else import_with_base
        return import_both(source, path, trust_pickle=trust_pickle, verify=verify)
    check_run(run := find_run(base), "best")
    from groundup.weights import import_adapter

    return import_adapter(source, path, run, verify=verify)


@verb(app, "export")
def export(
    run: Run,
    dest: Annotated[Path, typer.Argument(help="The folder (gguf: the file) to write.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="hf (for transformers), gguf (llama.cpp), safetensors, peft (adapters alone) "
            "[default: gguf where DEST ends in .gguf, else hf].",
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="f32, bf16, f16; gguf also q8_0, q4_0, q4_1, q5_0, q5_1 [default: as stored]."
        ),
    ] = None,
    checkpoint: Which = "best",
    licence: Annotated[
        str | None, typer.Option("--license", help="For the model card, such as mit.")
    ] = None,
    no_verify: NoVerify = False,
    as_json: AsJSON = False,
) -> None:
    """Write a model for others to load.

    With its tokenizer, its chat template and, for Hugging Face, a model card.
    """
    from groundup.base.files import new_path
    from groundup.runs import RunFolder
    from groundup.weights.early_checks import check_exportable, check_format

    form = form or ("gguf" if dest.suffix.lower() == ".gguf" else "hf")
    check_format(form, dtype)
    if form == "peft" and licence is not None:
        raise UsageError("--license with --format peft: an adapter has no model card; leave it out")
    check_run(run, checkpoint, plain=False)
    check_exportable(folder := RunFolder(run), folder.read(), form)
    new_path(dest)
    from groundup.weights import export_adapter, export_model

    if form == "peft":
        adapter = export_adapter(run, dest, checkpoint=checkpoint, verify=not no_verify)
        _show("Exported", adapter, as_json)
        return
    done = export_model(
        run,
        dest,
        form,
        dtype=dtype,
        checkpoint=checkpoint,
        licence=licence,
        verify=not no_verify,
    )
    _show("Exported", done, as_json)


def _show(what: str, done: Conversion, as_json: bool) -> None:
    from groundup.plan.units import duration, mib

    if as_json:
        print(json.dumps(dataclasses.asdict(done), default=str))
        return
    size, took = mib(done.size_bytes), duration(done.seconds)
    say(what, f"{done.path}: {done.parameters:,} parameters, {size}, {took}")
    for notice in done.notices:
        say("Note", notice)
    if done.difference is not None:
        say("Verified", f"read back; largest difference of logits {done.difference:.3g}")
