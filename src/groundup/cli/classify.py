"""`groundup classify`: what texts are, by a classifier."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.base.errors import GroundupError, UsageError, shown
from groundup.cli.app import app, tell, verb
from groundup.cli.options import AsJSON, Device, Which
from groundup.cli.printing import print_parts, progress_bar, say
from groundup.cli.run_names import Run
from groundup.cli.standard_io import input_lines
from groundup.cli.starting import without_collecting

if TYPE_CHECKING:
    from groundup.data.reading_log import ReadingLog
    from groundup.finetune import Prediction, TextClassifier

AT_ONCE = 512
"""Texts that are decided about, and shown, together."""
LONGEST_SHOWN = 60
"""Characters of a text beside its label."""

Named = tuple[str, str]
"""Where a text stands, and the text."""
Row = dict[str, Any]
"""What --json prints of a text."""


@verb(app, "classify")
def classify(
    run: Run,
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts; - reads standard input, a text a line."),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", help="Texts in a file: lines, or the records of a CSV, JSONL, Parquet file."
        ),
    ] = None,
    text_field: Annotated[
        str | None, typer.Option(help="The field of its records with the text.")
    ] = None,
    on_bad_record: Annotated[
        str, typer.Option(help="stop, or skip records that cannot be used.")
    ] = "stop",
    checkpoint: Which = "best",
    device: Device = "cpu",
    as_json: AsJSON = False,
) -> None:
    """Say what texts are, by a classifier.

    `groundup finetune classify` makes one.
    """
    if not texts and not file:
        raise UsageError(
            "no text; give one or more, or - for standard input, or --file FILE with a text a line"
        )
    from groundup.runs import RunFolder
    from groundup.runs.choose import candidates
    from groundup.runs.classifier import classifier_table

    folder = RunFolder(run)
    classifier_table(folder, folder.read())
    candidates(folder, checkpoint)
    for text in texts or ():
        if text != "-" and _is_file(text):
            tell(f"{text}: taken as a text; --file {text} reads the file of this name")
    with without_collecting():
        from groundup.finetune import load_classifier

    classifier = load_classifier(run, checkpoint, device)
    for notice in classifier.notices:
        tell(f"{notice}; using step {classifier.step}")
    from groundup.data.reading_log import ReadingLog

    log = ReadingLog()
    named = _named(texts or [], file or [], log, text_field=text_field, on_bad_record=on_bad_record)
    told = _Told()
    parts = told.of(_decided(classifier, named))
    if as_json:
        _show_json(parts)
    else:
        _show(parts, classifier.labels)
    for line in log.lines():  # which field was taken for the text, and what was left out
        tell(line)
    if not told.n_rows:
        raise UsageError("no text in what was given: nothing but empty lines; give one or more")
    if told.n_cut:
        tell(
            f"{told.n_cut:,} of {told.n_rows:,} texts are longer than the {classifier.max_length} "
            "tokens that this classifier reads; their ends were left out"
        )


def _is_file(text: str) -> bool:
    with contextlib.suppress(OSError, ValueError):  # a name too long, or in a closed folder
        return Path(text).is_file()
    return False


def _named(texts: list[str], files: list[Path], log: ReadingLog, **reading: Any) -> Iterator[Named]:
    """Yield every text and where it stands; `log` receives what was left out."""
    from groundup.data import read_documents
    from groundup.data.folders import format_of
    from groundup.data.record_files import RECORD_FORMATS
    from groundup.data.streams import lines

    documents = []
    for path in files:  # each is looked for before anything is decided
        is_records = format_of(path) in RECORD_FORMATS
        if reading["text_field"] is not None and not is_records:
            raise UsageError(
                f"--text-field {reading['text_field']}: {path} has no fields; leave it out"
            )
        documents.append((is_records, read_documents([str(path)], log=log, **reading)))
    for number, text in enumerate(texts, 1):
        if text != "-":
            yield f"text {number}", text
            continue
        yield from _lines("standard input", input_lines(), log)
    for is_records, found in documents:
        for document in found:
            if is_records:
                yield document.name, document.text()
            else:  # only a newline ends a line, as in `input_lines`
                yield from _lines(document.name, lines(document.chunks, document.name), log)


def _lines(source: str, lines: Iterable[str], log: ReadingLog) -> Iterator[Named]:
    for number, line in enumerate(lines, 1):
        where = f"{source}, line {number}"
        if line.strip():
            yield where, line
        else:
            log.skip("empty lines", where)


def _parts(named: Iterator[Named]) -> Iterator[list[Named]]:
    part: list[Named] = []
    for item in named:
        part.append(item)
        if len(part) == AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _decided(classifier: TextClassifier, named: Iterator[Named]) -> Iterator[list[Row]]:
    """Yield a row for each text, part by part; a bar shows how far a part is."""
    first = 1
    for part in _parts(named):
        for name, text in part:
            if not text.strip():
                raise UsageError(f"{name}: an empty text; give one with something to decide about")
        places, texts = zip(*part, strict=True)
        with progress_bar(f"Texts {first:,} to {first + len(part) - 1:,}") as bar:
            predictions = classifier.predict(texts, bar, places)
        yield [_row(name, text, p) for (name, text), p in zip(part, predictions, strict=True)]
        first += len(part)


def _row(name: str, text: str, prediction: Prediction) -> Row:
    return {
        "where": name,
        "text": text,
        "label": prediction.label,
        "probabilities": prediction.probabilities,
        "cut": prediction.is_cut,
    }


class _Told:
    """Counts what there is to tell of rows that pass by."""

    def __init__(self) -> None:
        self.n_rows = self.n_cut = 0

    def of(self, parts: Iterable[list[Row]]) -> Iterator[list[Row]]:
        """Yield the parts as they are."""
        for part in parts:
            self.n_rows += len(part)
            self.n_cut += sum(row["cut"] for row in part)
            yield part


def _show_json(parts: Iterable[list[Row]]) -> None:
    """Print one list, row by row; one that an error ends is left open, which no reader takes."""
    before = "[\n  "
    try:
        for part in parts:
            for row in part:
                row_text = json.dumps(row, ensure_ascii=False, indent=2).replace("\n", "\n  ")
                print(before, row_text, sep="", end="")
                before = ",\n  "
            sys.stdout.flush()
    except GroundupError:
        if before.startswith(","):
            print()  # the error has a line of its own
        raise
    if before.startswith(","):
        print("\n]")


def _show(parts: Iterator[list[Row]], labels: Sequence[str]) -> None:
    """Print one decision with all probabilities, or a table of several, as they come."""
    first = next(parts, [])
    if len(first) == 1 < AT_ONCE:  # more would have come with it
        likely = sorted(first[0]["probabilities"].items(), key=lambda item: -item[1])
        say(first[0]["label"], ", ".join(f"{label} {_share(p)}" for label, p in likely[:10]))
        return
    widest = "x" * 2 * LONGEST_SHOWN  # a letter takes up to two places
    likely_cells = {"label": labels, "probability": [_share(0.5)], "text": [widest]}
    rest = itertools.chain([first] if first else [], parts)
    print_parts(likely_cells, (list(map(_cells, part)) for part in rest))


def _cells(row: Row) -> list[str]:
    text = shown(" ".join(row["text"].split()), LONGEST_SHOWN)
    return [row["label"], _share(row["probabilities"][row["label"]]), text]


def _share(probability: float) -> str:
    """Return a probability in percent; none is shown as certain."""
    if probability < 0.0005:
        return "<0.1%"
    return ">99.9%" if probability >= 0.9995 else f"{probability:.1%}"
