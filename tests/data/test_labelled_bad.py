# ruff: noqa: E501 - a line each, as it comes back
"""What is wrong with labelled records is told in one line: where, what was expected, what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import DataError, GroundupError, UsageError
from groundup.data.labelled import prepare_labelled
from tests.data.labelling import csv_rows, jsonl, messages

GOOD = csv_rows(*messages(30))
SAME = [
    ("x", "The same text"),
    ("y", "the same  TEXT"),
    ("x", "Another text"),
    ("y", "another text"),
]


def with_row(*row: str) -> str:
    """Return the good file with one more row, record 31."""
    return GOOD + ",".join(row) + "\n"


def records(**changed: Any) -> str:
    """Return 12 good records in JSON Lines, and one with other values, line 13."""
    good = [{"text": f"text number {k} is here", "label": k % 2} for k in range(12)]
    return jsonl(*good, {"text": "the last of the texts", "label": 1} | changed)


def renamed(**names: str) -> str:
    """Return 12 records in JSON Lines with other names of the fields."""
    return jsonl(
        *(
            {
                names.get("text", "text"): f"text number {k} is here",
                names.get("label", "label"): k % 2,
                **({"kind": "ab"[k % 2]} if "kind" in names else {}),
            }
            for k in range(12)
        )
    )


Case = tuple[dict[str, str | bytes], dict[str, Any]]
CASES: dict[str, Case] = {
    "empty text": ({"a.csv": with_row("ham", " ")}, {}),
    "empty label": ({"a.csv": with_row("", "a text")}, {}),
    "empty label and text": ({"a.csv": with_row("", "a text") + "ham,\nspam,\n"}, {}),
    "label that is null": ({"a.jsonl": records(label=None)}, {}),
    "label that is NaN": ({"a.jsonl": records(label=float("nan"))}, {}),
    "cell that says NaN": ({"a.csv": with_row("NaN", "a text")}, {}),
    "group that is missing": (
        {"a.csv": "label,text,who\nx,a text,me\ny,other text,\n"},
        {"group_field": "who"},
    ),
    "all texts blank": ({"a.csv": "label,text\nx, \ny,\n"}, {}),
    "none left by skip": (
        {"a.csv": "label,text\n,one text\n,other text\n"},
        {"label_field": "label", "on_bad_record": "skip"},
    ),
    "one class": ({"a.csv": csv_rows(*messages(9, ["ham"]))}, {}),
    "class with one example": ({"a.csv": with_row("eggs", "a text")}, {}),
    "classes with few examples": (
        {"a.csv": with_row("eggs", "a text") + "toast,more\ntoast,another\nHam,oh\ntea,hot\n"},
        {},
    ),
    "class written in two ways": ({"a.csv": with_row("Ham", "a text")}, {}),
    "number written in two ways": ({"a.csv": csv_rows(*messages(9, ["1", "2"]), ("01", "x"))}, {}),
    "numbers and text in CSV": ({"a.csv": with_row("7", "a text")}, {}),
    "numbers and text in JSON": ({"a.jsonl": records(label="spam")}, {}),
    "numbers and booleans": ({"a.jsonl": records(label=True)}, {}),
    "fraction": ({"a.jsonl": records(label=0.5)}, {}),
    "fraction in CSV": ({"a.csv": csv_rows(*messages(9, ["0", "0.5"]))}, {}),
    "several labels": ({"a.jsonl": records(label=["a", "b"])}, {}),
    "label that is an object": ({"a.jsonl": records(label={"name": "a"})}, {}),
    "label as long as a text": ({"a.csv": with_row("word " * 50, "a text")}, {}),
    "text that is a number": ({"a.jsonl": records(text=12)}, {}),
    "broken line": ({"a.jsonl": records() + "{\n"}, {}),
    "broken first line": ({"a.jsonl": '{"text": "x"\n' + records()}, {}),
    "ragged row": ({"a.csv": with_row("ham", "a text", "more")}, {}),
    "no header": ({"a.csv": GOOD.removeprefix("label,text\n")}, {}),
    "header only": ({"a.csv": "label,text\n"}, {}),
    "empty file": ({"a.csv": ""}, {}),
    "empty JSON Lines": ({"a.jsonl": ""}, {}),
    "strings, not records": ({"a.json": '["one text", "two"]'}, {}),
    "numbers, not records": ({"a.json": "[1, 2, 3]"}, {}),
    "duplicate header": (
        {
            "a.csv": csv_rows(
                *((*row, row[1] + " again") for row in messages(9)), header="label,text,text"
            )
        },
        {},
    ),
    "columns, not records": ({"a.json": '{"text": ["a", "b"], "label": [0, 1]}'}, {}),
    "chats": (
        {"a.jsonl": jsonl({"messages": [{"role": "user", "content": "hi you"}], "label": "x"})},
        {},
    ),
    "no text field": ({"a.jsonl": renamed(text="label", label="n")}, {}),
    "two text fields": (
        {
            "a.csv": csv_rows(
                *((*row, row[1] + " again") for row in messages(9)), header="label,title,body"
            )
        },
        {},
    ),
    "no label field": (
        {"a.csv": "id,text\n" + "".join(f"{k},text {k} here\n" for k in range(9))},
        {},
    ),
    "two label fields": ({"a.jsonl": renamed(label="sentiment", kind="kind")}, {}),
    "unknown label field": ({"a.csv": GOOD}, {"label_field": "lable"}),
    "unknown text field": ({"a.csv": GOOD}, {"text_field": "body"}),
    "field of others": ({"a.jsonl": records()}, {"text_field": "label"}),
    "nested label": (
        {
            "a.jsonl": jsonl(
                *({"text": f"text number {k}", "meta": {"label": "ab"[k % 2]}} for k in range(9))
            )
        },
        {"label_field": "meta"},
    ),
    "list as label": (
        {"a.jsonl": jsonl(*({"text": f"text number {k}", "label": ["a"]} for k in range(9)))},
        {"label_field": "label"},
    ),
    "text and label the same": ({"a.csv": GOOD}, {"text_field": "text", "label_field": "text"}),
    "label and group the same": ({"a.csv": GOOD}, {"label_field": "label", "group_field": "label"}),
    "10,000 labels": (
        {"a.csv": csv_rows(*((f"name{k}", f"text number {k}") for k in range(10_000)))},
        {},
    ),
    "labels that are ids": (
        {"a.csv": csv_rows(*((f"name{k}", f"text number {k}") for k in range(100)))},
        {},
    ),
    "conflicts leave nothing": ({"a.csv": csv_rows(*SAME)}, {}),
    "conflicts leave one class": ({"a.csv": csv_rows(*SAME, *messages(9, ["x"]))}, {}),
    "binary": ({"a.csv": b"label,text\n\0\1\2\3"}, {}),
    "latin-1": ({"a.csv": GOOD.encode() + b"ham,caf\xe9 is here\n"}, {}),
    "a PDF by another name": ({"a.csv": b"%PDF-1.4 nothing"}, {}),
    "Excel": ({"a.xlsx": b"PK\3\4" + b"[Content_Types].xml"}, {}),
    "zip": ({"a.zip": b"PK\3\4" + bytes(40)}, {}),
    "plain text": ({"a.txt": "ham\ta text\n"}, {}),
    "no Parquet": ({"a.parquet": b"label,text"}, {}),
    "no gzip": ({"a.csv.gz": b"label,text"}, {}),
    "two groups": (
        {
            "a.csv": csv_rows(
                *((*row, "ab"[k % 2]) for k, row in enumerate(messages(12))),
                header="label,text,who",
            )
        },
        {"group_field": "who"},
    ),
    "class in one group": (
        {
            "a.csv": csv_rows(
                *(
                    (*row, row[0] + (str(k % 8) if row[0] == "ham" else ""))
                    for k, row in enumerate(messages(40))
                ),
                header="label,text,who",
            )
        },
        {"group_field": "who"},
    ),
    "test labels unseen": (
        {"a.csv": GOOD, "test.csv": csv_rows(("ham", "a test"), ("eggs", "another test"))},
        {},
    ),
    "test texts without labels": ({"a.csv": GOOD, "test.csv": "text\na test\n"}, {}),
    "test takes all": ({"a.csv": GOOD, "test.csv": GOOD}, {}),
    "unknown skip": ({"a.csv": GOOD}, {"on_bad_record": "ignore"}),
    "unknown encoding": ({"a.csv": GOOD}, {"encoding": "utf-9"}),
}
SOURCES: dict[str, list[str]] = {
    "none": [],
    "misspelt name": ["testament"],
    "a text": ["kjv"],
    "missing file": ["nowhere.csv"],
    "folder": ["folder"],
    "empty folder": ["empty"],
    "standard input": ["-"],
    "address": ["https://example.org/a.csv"],
    "nothing": [""],
    "name too long": ["x" * 5000],
    "a source twice": ["a.csv"],
}
USAGE = {
    *SOURCES,
    "text and label the same",
    "label and group the same",
    "unknown skip",
    "unknown encoding",
}
REFUSALS = """
empty text | a.csv: of 31 records, 1 without a text in the field 'text' (first: record 31): an empty text teaches nothing; fill them in, choose other fields, or leave such records out with --on-bad-record skip
empty label | a.csv: of 31 records, 1 without a label in the field 'label' (first: record 31); fill them in, choose other fields, or leave such records out with --on-bad-record skip
empty label and text | a.csv: of 33 records, 1 without a label in the field 'label' (first: record 31), 2 without a text in the field 'text' (first: record 32): an empty text teaches nothing; fill them in, choose other fields, or leave such records out with --on-bad-record skip
label that is null | a.jsonl: of 13 records, 1 without a label in the field 'label' (first: line 13); fill them in, choose other fields, or leave such records out with --on-bad-record skip
label that is NaN | a.jsonl: of 13 records, 1 without a label in the field 'label' (first: line 13); fill them in, choose other fields, or leave such records out with --on-bad-record skip
cell that says NaN | a.csv: of 31 records, 1 without a label in the field 'label' (first: record 31); fill them in, choose other fields, or leave such records out with --on-bad-record skip
group that is missing | a.csv: of 2 records, 1 without a group in the field 'who' (first: record 2); fill them in, choose other fields, or leave such records out with --on-bad-record skip
all texts blank | a.csv: which field is the text? expected a field 'text', or one only that holds texts, but found label (labels), text (blank); choose, as with --text-field NAME, or write each text as a string into a field 'text'
none left by skip | a.csv: none of 2 records can be used (2 records without a label); mend them, or choose other fields
one class | a.csv: all 9 examples have the label 'ham'; a classifier needs two different ones; is --label-field the right one?
class with one example | a.csv: too few examples of the class 'eggs' (1): expected 3 at least, one for each split; add some, or leave the class out
classes with few examples | a.csv: too few examples of the classes 'Ham' (1), 'eggs' (1), 'tea' (1), … (4 of 6 classes): expected 3 at least, one for each split; add some, or leave the class out; are 'Ham' and 'ham' one class?; do the labels hold texts or ids?
class written in two ways | a.csv: too few examples of the class 'Ham' (1): expected 3 at least, one for each split; add some, or leave the class out; are 'Ham' and 'ham' one class?
number written in two ways | a.csv: too few examples of the class '01' (1): expected 3 at least, one for each split; add some, or leave the class out; are '01' and '1' one class?
numbers and text in CSV | a.csv, record 31: the label '7' is a number, but 'ham' in a.csv, record 1 is text; expected labels of one kind; mend the one that is wrong, or write all as strings into a .jsonl
numbers and text in JSON | a.jsonl, line 13: the label 'spam' is text, but '0' in a.jsonl, line 1 is a number; expected labels of one kind; mend the one that is wrong, or write all as strings into a .jsonl
numbers and booleans | a.jsonl, line 13: the label 'true' is a boolean, but '0' in a.jsonl, line 1 is a number; expected labels of one kind; mend the one that is wrong, or write all as strings into a .jsonl
fraction | a.jsonl, line 13: the label 0.5 is no whole number; classes are texts, whole numbers or booleans; choose another field with --label-field, or mend it, or leave such records out with --on-bad-record skip
fraction in CSV | a.csv, record 2: the label 0.5 is no whole number; classes are texts, whole numbers or booleans; choose another field with --label-field, or mend it, or leave such records out with --on-bad-record skip
several labels | a.jsonl, line 13: expected one label, a string, a whole number or a boolean, but found a list; mend or remove it, or leave such records out with --on-bad-record skip
label that is an object | a.jsonl, line 13: expected one label, a string, a whole number or a boolean, but found an object; mend or remove it, or leave such records out with --on-bad-record skip
label as long as a text | a.csv, record 31: expected a label of up to 200 printable characters, but found 249 characters; choose another field with --label-field, or mend it, or leave such records out with --on-bad-record skip
text that is a number | a.jsonl, line 13: expected a string in the field 'text', but found int; mend or remove it, or leave such records out with --on-bad-record skip
broken line | a.jsonl, line 14: expected JSON, but Expecting property name enclosed in double quotes at character 1; mend or remove it, or leave such records out with --on-bad-record skip
broken first line | a.jsonl, line 1: expected JSON, but Expecting ',' delimiter at character 12; mend or remove it, or leave such records out with --on-bad-record skip
ragged row | a.csv, record 31 (line 32): expected 2, as in the header (label, text), but found 3 cells; quote what holds a comma, or mend or remove the row, or leave such records out with --on-bad-record skip
no header | a.csv: the first row should name the columns, but found 'ham'; put a header above it, such as 'label,text', or choose with --text-field
header only | a.csv: no records; expected some, each with a text and a label
empty file | a.csv: no records; expected some, each with a text and a label
empty JSON Lines | a.jsonl: no records; expected some, each with a text and a label
strings, not records | a.json: expected records with fields, such as 'text' and 'label', but found single values; write each as an object or a row
numbers, not records | a.json: expected records with fields, such as 'text' and 'label', but found single values; write each as an object or a row
duplicate header | a.csv: which field is the text? expected a field 'text', or one only that holds texts, but found label (labels), text (column 2) (text), text (column 3) (text); choose, as with --text-field text (column 3), or write each text as a string into a field 'text'
columns, not records | a.json: which field is the text? expected a field 'text', or one only that holds texts, but found text[] (text), label[] (int); choose, as with --text-field NAME, or write each text as a string into a field 'text'
chats | a.jsonl: its records are chats (messages[].role (text), messages[].content (text), label (labels)), but plain text is expected; write each as one string in a field 'text', or name a field that is plain text with --text-field ('groundup finetune instruct' takes such records)
no text field | a.jsonl: which field is the text? expected a field 'text', or one only that holds texts, but found label (labels), n (int); choose, as with --text-field NAME, or write each text as a string into a field 'text'
two text fields | a.csv: which field is the text? expected a field 'text', or one only that holds texts, but found label (labels), title (text), body (text); choose, as with --text-field body, or write each text as a string into a field 'text'
no label field | a.csv: which field is the label? expected a field 'label', or one only with few different values, but found id (numbers), text (text) (none looks so); choose, as with --label-field NAME
two label fields | a.jsonl: which field is the label? expected a field 'label', or one only with few different values, but found text (text), sentiment (int), kind (labels) (several may be: sentiment, kind); choose, as with --label-field sentiment
unknown label field | a.csv: --label-field 'lable': none of 30 records has it; did you mean 'label'?
unknown text field | a.csv: --text-field 'body': none of 30 records has it; known: label, text
field of others | a.jsonl: no text in the field 'label' in any of 13 records; found text (text), label (int); choose another with --text-field
nested label | a.jsonl: the field 'meta' is an object; name what is in it, as with --label-field meta.label
list as label | a.jsonl: the field 'label' is a list; expected one value as the label; choose another with --label-field, or write one value into it
text and label the same | --text-field and --label-field are both 'text'; expected two different fields
label and group the same | --label-field and --group-field are both 'label'; expected two different fields
10,000 labels | a.csv: 10,000 different labels in 10,000 examples, as of texts or ids; expected 1,000 classes at most; choose another field with --label-field
labels that are ids | a.csv: too few examples of the classes 'name0' (1), 'name1' (1), 'name10' (1), … (100 of 100 classes): expected 3 at least, one for each split; add some, or leave the class out; do the labels hold texts or ids?
conflicts leave nothing | a.csv: no example is left to learn from of 4 (4 texts with different labels (all of them)); give others
conflicts leave one class | a.csv: all 9 examples have the label 'x'; a classifier needs two different ones; is --label-field the right one? (left out: 4 texts with different labels (all of them))
binary | a.csv: looks like a binary file (a NUL at offset 11); leave it out; only text can be read
latin-1 | a.csv: byte 0xe9 at offset 923 is not utf-8; give the encoding of the file, as with --encoding latin-1, or convert the file with iconv
a PDF by another name | a.csv: a PDF, not text; convert it, as with pdftotext, and give the text
Excel | a.xlsx: an Office file, not records; expected a file ending in .jsonl, .ndjson, .json, .csv, .tsv, .parquet, or one of these and .gz, .bz2, .xz, .zst
zip | a.zip: packed as zip, not records; expected a file ending in .jsonl, .ndjson, .json, .csv, .tsv, .parquet, or one of these and .gz, .bz2, .xz, .zst
plain text | a.txt: expected a file of records, ending in .jsonl, .ndjson, .json, .csv, .tsv, .parquet, or one of these and .gz, .bz2, .xz, .zst; if it is a table, rename it to end in .csv or .tsv, with a header such as 'label,text' above it
no Parquet | a.parquet: not Parquet though it ends in .parquet, but plain text; rename it to end in what it is, or fetch it again
no gzip | a.csv.gz: not gzip though it ends in .gz, but plain text; rename it to end in what it is, or fetch it again
two groups | a.csv: too few groups of the classes 'ham' (1), 'spam' (1): expected 3 at least, one for each split; add some, or leave the class out
class in one group | a.csv: too few groups of the class 'spam' (1): expected 3 at least, one for each split; add some, or leave the class out
test labels unseen | a.csv test.csv: the test records have labels that no training example has: 'eggs' (test.csv, record 2); expected some of ham, spam; mend them, or add training examples
test texts without labels | test.csv: which field is the label? expected a field 'label', or one only with few different values, but found text (text) (none looks so); choose, as with --label-field NAME
test takes all | a.csv test.csv: no example is left to learn from of 30 (30 training texts that are in the test records); give others
unknown skip | on_bad_record = ignore: expected stop or skip
unknown encoding | unknown encoding 'utf-9'; expected a name such as utf-8, utf-16 or latin-1
none | no records; name a file of them, or one of: testaments
misspelt name | testament: no such file, nor named records (did you mean 'testaments'?); check the path
a text | kjv: a text, not records with labels; named records are: testaments
missing file | nowhere.csv: no such file, nor named records (known: testaments); check the path
folder | folder: a folder; expected a file of records; name each (there: a.csv)
empty folder | empty: a folder; expected a file of records; name each (there: none)
standard input | -: records are read from files; write them into one, and name it
address | https://example.org/a.csv: nothing is fetched from there; download it, name the file
nothing | '': records without a name, as of an unset variable; name a file
name too long | xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: no such file, nor named records (known: testaments); check the path
a source twice | a.csv: to train and to test on; name a file of its own for one
"""
EXPECTED = dict(line.split(" | ", 1) for line in REFUSALS.strip().split("\n"))


def refusal(name: str, sources: list[str], **options: Any) -> str:
    with pytest.raises(GroundupError) as caught:
        prepare_labelled(sources, "data", **options)
    assert type(caught.value) is (UsageError if name in USAGE else DataError)
    assert not Path("data").exists()
    return str(caught.value)


def test_every_case_has_its_line() -> None:
    assert list(EXPECTED) == [*CASES, *SOURCES]
    assert len(EXPECTED) > 60


@pytest.mark.parametrize("name", CASES)
def test_bad_records(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files, options = CASES[name]
    for file, content in files.items():
        Path(file).write_bytes(content if isinstance(content, bytes) else content.encode())
    test = [file for file in files if file == "test.csv"]
    sources = [file for file in files if file not in test]
    assert refusal(name, sources, test_sources=test, **options) == EXPECTED[name]


@pytest.mark.parametrize("name", SOURCES)
def test_bad_sources(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("folder", "empty"):
        Path(folder).mkdir()
    for file in ("a.csv", "folder/a.csv"):
        Path(file).write_text(GOOD)
    test = SOURCES[name] if name == "a source twice" else []
    assert refusal(name, SOURCES[name], test_sources=test) == EXPECTED[name]
