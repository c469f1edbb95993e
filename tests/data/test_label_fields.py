"""Which fields are taken for the text and the label; refusals are in test_labelled_bad.py."""

from __future__ import annotations

from typing import Any

import pytest

from groundup.base.errors import DataError
from groundup.data.label_fields import Chosen, Fields, choose_fields
from groundup.data.text_fields import Survey

N = 30


def chosen(rows: list[dict[str, Any]], **asked: str) -> Chosen:
    survey = Survey()
    survey.add_until((f"record {number}", row) for number, row in enumerate(rows))
    return choose_fields(survey, "a.csv", Fields(**asked))


def rows(**fields: Any) -> list[dict[str, Any]]:
    return [{k: v(n) if callable(v) else v for k, v in fields.items()} for n in range(N)]


def prose(n: int) -> str:
    return f"The fox number {n} sleeps."


def kind(n: int) -> str:
    return "ham" if n % 3 else "spam"


@pytest.mark.parametrize(
    ("text", "label", "records"),
    [
        ("text", "label", rows(label=kind, text=prose)),
        ("Message", "Category", rows(Category=kind, Message=prose)),
        ("v2", "v1", rows(v1=kind, v2=prose, **{"(column 3)": ""})),
        ("body", "stars", rows(stars=lambda n: n % 5, body=prose)),
        ("body", "stars", rows(stars=lambda n: f"{n % 5}", body=prose)),
        ("body", "is_spam", rows(is_spam=lambda n: n % 2 > 0, body=prose)),
        ("body", "topic_label", rows(topic_label=kind, body=prose, split=kind, lang=kind)),
        ("text", "label", rows(label=lambda n: n % 2, label_text=kind, text=prose)),
        ("text", "Label", rows(Label=lambda n: f"a long name of class {n % 4}", text=prose)),
        ("body", "kind", rows(kind=kind, id=lambda n: n, share=lambda n: n % 2 / 4, body=prose)),
        ("body", "kind", rows(kind=kind, source="one alone", body=prose)),
        ("body", "kind", rows(kind=kind, tags=["x"], body=prose)),
    ],
)
def test_guesses(text: str, label: str, records: list[dict[str, Any]]) -> None:
    assert chosen(records) == Chosen(text=text, label=label, group=None)


def test_a_field_that_is_given_is_no_other() -> None:
    records = rows(title=prose, topic=lambda n: prose(n % 5), kind=kind, area=kind)
    with pytest.raises(DataError, match="which field is the text"):
        chosen(records)
    with pytest.raises(DataError, match=r"which field is the label.*several may be: kind, area"):
        chosen(records, text="title")
    assert chosen(records, label="topic").text == "title"
    assert chosen(records, text="title", group="area").label == "kind"


def test_a_file_sorted_by_label_is_looked_at_far_enough() -> None:
    records = [{"kind": "ham", "body": prose(n)} for n in range(3000)]
    records += [{"kind": "spam", "body": prose(n)} for n in range(3000)]
    assert chosen(records).label == "kind"


def test_fields_may_be_nested() -> None:
    records = rows(data=lambda n: {"text": prose(n), "label": kind(n)})
    assert chosen(records, text="data.text", label="data.label").label == "data.label"


def test_what_is_chosen_is_said() -> None:
    said = str(Chosen(text="v2", label="v1", group="who"))
    assert said == "the text is the field 'v2', the label 'v1', the group 'who'"
