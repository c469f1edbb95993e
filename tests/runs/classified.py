"""A classifier's record, made by hand: 100 test examples of two classes, 4 of them wrong."""

from __future__ import annotations

from typing import Any

from groundup.runs.classification import (
    Baseline,
    Bin,
    ClassFigures,
    ClassificationRecord,
    Figures,
    McNemar,
    WorstError,
)

TEXT = "Win a prize now, call 0900"


def figures(**changes: Any) -> Figures:
    classes = (
        ClassFigures(label="ham", support=88, predicted=90, precision=0.97, recall=0.99, f1=0.978),
        ClassFigures(label="spam", support=12, predicted=10, precision=0.9, recall=0.75, f1=0.818),
    )
    bins = (
        Bin(low=0.6, high=0.667, count=6, confidence=0.64, accuracy=0.5,
            accuracy_interval=(0.188, 0.812)),
        Bin(low=0.933, high=1.0, count=94, confidence=0.991, accuracy=0.989,
            accuracy_interval=(0.942, 0.998)),
    )  # fmt: skip
    values: dict[str, Any] = {
        "examples": 100,
        "accuracy": 0.96,
        "accuracy_interval": (0.902, 0.984),
        "log_loss": 0.14,
        "macro_f1": 0.898,
        "macro_f1_interval": (0.775, 0.962),
        "classes": classes,
        "confusion": ((87, 1), (3, 9)),
        "ece": 0.0103,
        "ece_interval": (0.0, 0.04),
        "ece_by_chance": 0.031,
        "bins": bins,
    }
    return Figures(**(values | changes))


def baseline(only_a: int, only_b: int, p_value: float, **changes: Any) -> Baseline:
    return Baseline(
        title="TF-IDF with logistic regression",
        settings="C = 10",
        figures=figures(**({"accuracy": 0.93, "macro_f1": 0.85} | changes)),
        mcnemar=McNemar(only_a=only_a, only_b=only_b, p_value=p_value),
    )


def record(**changes: Any) -> ClassificationRecord:
    error = WorstError(
        where="sms.csv, record 17",
        text=TEXT,
        left_out=0,
        truth="spam",
        prediction="ham",
        probability=0.97,
        truth_probability=0.03,
    )
    values: dict[str, Any] = {
        "step": 300,
        "chosen_by": "lowest loss on the validation texts",
        "split": "by hash of the text, each class by itself",
        "test": figures(),
        "baselines": {"majority": baseline(12, 4, 0.077), "tf_idf": baseline(5, 2, 0.45)},
        "errors": (error,),
        "left_out": {"duplicates": 328, "conflicting labels": 0},
        "cut": 17,
        "context_length": 64,
        "padding": 0.031,
        "seconds": 93.0,
    }
    return ClassificationRecord(**(values | changes))
