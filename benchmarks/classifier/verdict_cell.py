"""The test of the candidate that was chosen, each part of it by itself, with TF-IDF beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.cells import answer
from benchmarks.classifier.candidate_cell import request_of
from benchmarks.turns import Record
from groundup.base.errors import GroundupError
from groundup.data.examples import Example
from groundup.evaluate.classification import Classification, mcnemar
from groundup.finetune.classifier.baselines import tf_idf
from groundup.finetune.classifier.rows import labelled_rows
from groundup.finetune.classifier.text_classifier import scores_of, softmax
from groundup.finetune.load import load_classifier

FIGURES = ("examples", "accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval", "ece")


def result(job: Record) -> Record:
    """Return the figures of a run on each part of the test, and of TF-IDF on the same texts."""
    work = Path(job["work"])
    request = request_of(job, {})
    made, data = load_classifier(request.folder.path), request.data()
    splits = {name: data.examples(name) for name in ("train", "val", "test")}
    rows = {
        name: labelled_rows(split, made.labels, made.tokenizer, made.max_length, made.start)
        for name, split in splits.items()
    }
    ours = softmax(scores_of(made.model, rows["test"].ids))
    truth = {name: one.labels for name, one in rows.items()}
    said = {"tf_idf": {name: [e.text for e in split] for name, split in splits.items()}}
    if whole := whole_texts([work / path for path in job["records"] + job["test_records"]]):
        said["tf_idf_whole"] = {
            name: [whole[e.text] for e in split] for name, split in splits.items()
        }
    parts: dict[str, Record] = {}
    others = {}
    for who, texts in said.items():
        try:
            others[who], _ = tf_idf(texts, truth, len(made.labels))
        except GroundupError as error:
            raise SystemExit(str(error)) from error
    for part, files in job["parts"].items():
        chosen = np.flatnonzero([files is None or is_of(e, files) for e in splits["test"]])
        mine = Classification(made.labels, truth["test"][chosen], ours[chosen])
        parts[part] = {"ours": figures(mine)}
        for who, probabilities in others.items():
            theirs = Classification(made.labels, truth["test"][chosen], probabilities[chosen])
            paired = mcnemar(mine.right, theirs.right)
            parts[part][who] = figures(theirs) | {"mcnemar": vars(paired)}
    left_out = {what: found["count"] for what, found in data.manifest["left_out"].items()}
    return {"parts": parts, "left_out": left_out, "split": data.split_rule}


def figures(found: Classification) -> Record:
    """Return the figures that the table shows."""
    return {name: getattr(found.figures, name) for name in FIGURES}


def is_of(example: Example, files: Sequence[str]) -> bool:
    """Tell whether an example comes from one of the files, by the beginning of their names."""
    return any(Path(example.where.partition(",")[0]).name.startswith(name) for name in files)


def whole_texts(paths: Sequence[Path]) -> dict[str, str]:
    """Return the whole text of each beginning, where the records have it."""
    found = {}
    for path in paths:
        if path.suffix == ".jsonl":
            for line in path.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                if "whole" in record:
                    found[record["text"].strip()] = found[record["text"]] = record["whole"]
    return found


if __name__ == "__main__":
    answer(result)
