"""What a finished classifier is worth: its test texts, looked at once, beside simpler means."""

from __future__ import annotations

from groundup.data.labelled_folder import LabelledData
from groundup.evaluate.classification import Classification, worst_errors
from groundup.finetune.classifier.baselines import baselines
from groundup.finetune.classifier.rows import labelled_rows
from groundup.finetune.classifier.text_classifier import scores_of, softmax
from groundup.finetune.load import load_classifier
from groundup.runs import RunFolder
from groundup.runs.classification import ClassificationRecord, write_classification
from groundup.runs.record import read_run
from groundup.train.listener import Screen


def judge(
    folder: RunFolder, data: LabelledData, cut: int, padding: float | None, screen: Screen
) -> None:
    """Decide about the test texts by the best checkpoint, and write classification.json.

    `cut` texts were longer than what is read of those that train and validate; `padding` is the
    share of it among the places that were computed.
    """
    classifier = load_classifier(folder.path)
    examples = {split: data.examples(split) for split in ("train", "val", "test")}
    labels, test = classifier.labels, examples["test"]
    rows = labelled_rows(
        test, labels, classifier.tokenizer, classifier.max_length, classifier.start
    )
    scores = scores_of(
        classifier.model, rows.ids, lambda done, total: screen.preparing("testing", done, total)
    )
    found = Classification(labels, rows.labels, softmax(scores))
    record = ClassificationRecord(
        step=classifier.step,
        chosen_by="lowest loss on the validation texts" + _weighted(folder),
        split=data.split_rule,
        test=found.figures,
        baselines=baselines(examples, labels, found),
        errors=worst_errors(found, [e.text for e in test], [e.where for e in test]),
        left_out={what: entry["count"] for what, entry in data.manifest["left_out"].items()},
        cut=cut + rows.n_cut,
        context_length=classifier.max_length,
        groups=data.manifest["splits"]["test"]["groups"] or None,
        padding=padding,
        seconds=read_run(folder.path).last("seconds"),
    )
    write_classification(folder.classification, record)


def _weighted(folder: RunFolder) -> str:
    job = folder.read().job
    balance = ((job and job.settings) or {}).get("balance")
    return ", of which every class counts alike" if balance == "weights" else ""
