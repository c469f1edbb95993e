"""The wording of each task, to the letter; documents that lack something; how pairs are encoded."""

from __future__ import annotations

from typing import Any

import pytest

from groundup.base.errors import DataError, UsageError
from groundup.evaluate.tasks import TASKS, encode_pair, question_of, task_named
from tests.evaluate.plain import BYTES, plain_request
from tests.tokenizer.helpers import small_bpe

DOCUMENTS: dict[str, dict[str, Any]] = {
    "lambada": {"text": "She looked at the sea and saw a boat"},
    "hellaswag": {
        "activity_label": "Baking  bread",
        "ctx_a": "How to bake [header] Knead. [title] Wait.",
        "ctx_b": "then YOU",
        "endings": ["eat it [step] .", " run away", "sing [title] loud", "stop"],
        "label": "3",
    },
    "arc_easy": {
        "question": "What melts?",
        "choices": {"text": ["ice", "light", "time"], "label": ["1", "2", "3"]},
        "answerKey": "1",
    },
    "arc_challenge": {
        "question": "Why?",
        "choices": {"text": ["no", "yes"], "label": ["A", "B"]},
        "answerKey": "B",
    },
    "piqa": {"goal": "open a jar", "sol1": "turn", "sol2": "look at it", "label": 0},
    "winogrande": {
        "sentence": "Ann thanked Bea because _ had been helped.",
        "option1": "Ann",
        "option2": "Bea",
        "answer": "1",
    },
}

WORDED: dict[str, tuple[list[tuple[str, str]], int, list[int]]] = {
    "lambada": ([("She looked at the sea and saw a", " boat")], 0, [4]),
    "hellaswag": (
        [
            (
                "Baking bread: How to bake Knead.. Wait. Then you",
                continuation,
            )
            for continuation in (" eat it .", " run away", " sing. loud", " stop")
        ],
        3,
        [8, 8, 10, 4],
    ),
    "arc_easy": (
        [("Question: What melts?\nAnswer:", f" {word}") for word in ("ice", "light", "time")],
        0,
        [3, 5, 4],
    ),
    "arc_challenge": (
        [("Question: Why?\nAnswer:", " no"), ("Question: Why?\nAnswer:", " yes")],
        1,
        [2, 3],
    ),
    "piqa": (
        [
            ("Question: open a jar\nAnswer:", " turn"),
            ("Question: open a jar\nAnswer:", " look at it"),
        ],
        0,
        [4, 10],
    ),
    "winogrande": (
        [
            ("Ann thanked Bea because Ann", " had been helped."),
            ("Ann thanked Bea because Bea", " had been helped."),
        ],
        0,
        [27, 27],
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_wording(name: str) -> None:
    question = question_of(TASKS[name], DOCUMENTS[name], "here")
    assert (question.pairs, question.gold, question.lengths) == WORDED[name]


@pytest.mark.parametrize("name", TASKS)
def test_a_document_without_one_of_its_fields_is_named(name: str) -> None:
    for field in TASKS[name].fields:
        for document in (
            {k: v for k, v in DOCUMENTS[name].items() if k != field},
            DOCUMENTS[name] | {field: None},
        ):
            with pytest.raises(DataError, match=f"^line 7: .*, but it has no {field};"):
                question_of(TASKS[name], document, "line 7")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("hellaswag", {"label": ""}),  # as in the public test split, which has no answers
        ("hellaswag", {"label": "4"}),
        ("hellaswag", {"endings": [1, 2, 3, 4]}),
        ("arc_easy", {"answerKey": "D"}),
        ("arc_easy", {"choices": ["ice"]}),
        ("piqa", {"label": -1}),
        ("winogrande", {"answer": ""}),
        ("winogrande", {"sentence": "No gap."}),
        ("lambada", {"text": 5}),
    ],
)
def test_a_document_without_an_answer_is_refused(name: str, change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"^line 7: expected a document with the fields"):
        question_of(TASKS[name], DOCUMENTS[name] | change, "line 7")


@pytest.mark.parametrize("document", ["text", 3, None, ["text"]])
def test_what_is_no_document_is_refused(document: object) -> None:
    with pytest.raises(DataError, match=r"^line 7: expected a document"):
        question_of(TASKS["lambada"], document, "line 7")


def test_an_unknown_task_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="task 'hellaswg': no such task; did you mean 'hellaswag'"):
        task_named("hellaswg")


@pytest.mark.parametrize("tokenizer", [BYTES, small_bpe()], ids=["bytes", "bpe"])
@pytest.mark.parametrize(
    ("context", "continuation"),
    [
        ("to die rather", " than to famish"),
        ("to die rather ", "than to famish"),
        ("to die rather \n ", " than"),
        ("resol", "ved that"),  # the border lies inside a word
        ("naïve 日本", "語"),
    ],
)
def test_pairs_are_encoded_as_one_text(tokenizer: Any, context: str, continuation: str) -> None:
    found = encode_pair(tokenizer, context, continuation)
    assert found == plain_request(tokenizer, context, continuation)
    assert tokenizer.decode([*found.context, *found.continuation]) == context + continuation
    started = encode_pair(tokenizer, context, continuation, start=[1])
    assert started == ([1, *found.context], found.continuation)


def test_an_empty_context_is_the_start_alone() -> None:
    assert encode_pair(BYTES, "", " a", start=[256]) == ([256], [32, 97])
    assert encode_pair(BYTES, "", " a") == ([], [32, 97])
