# ruff: noqa: E501 - a line each, as it comes back
"""What `groundup finetune instruct` cannot use it says in one line, and begins no run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundup.generate.template import CHATML
from groundup.runs import RunFolder
from groundup.runs.classifier import CLASSIFIER
from groundup.runs.manifest import JobTable, QuantizationTable
from tests.cli.conftest import Groundup
from tests.data.dialoguing import RECORDS, records, said
from tests.data.labelling import jsonl
from tests.finetune.instructing import with_base, with_template

QUICK = [
    "--run",
    "a",
    "--steps",
    "1",
    *(w for k in ("threads=1", "sample_tokens=2") for w in ("--set", k)),
]


def after(name: str, *others: Any) -> str:
    """Return 12 good records of a format, and others, from line 13 on."""
    return jsonl(*records(name), *others)


def chat(*messages: Any) -> str:
    return after("messages", {"messages": messages})


def pair(**changed: Any) -> str:
    return after("preferences", RECORDS["preferences"](12) | changed)


GOOD = after("messages")
SYSTEM = {"role": "system", "content": "Be brief."}
IMAGE = {"type": "image_url", "image_url": {"url": "https://a.org/x.png"}}
FILES: dict[str, str | bytes] = {
    "missing field": after("alpaca", {"instruction": "Double 12."}),
    "null reply": after("alpaca", RECORDS["alpaca"](12) | {"output": None}),
    "empty reply": chat(*said("hi", " ")),
    "empty question": after("alpaca", RECORDS["alpaca"](12) | {"instruction": ""}),
    "reply that is a number": after("alpaca", RECORDS["alpaca"](12) | {"output": 24}),
    "no reply": chat(*said("hi")),
    "the assistant first": chat(*said("hi", "ho", first="assistant")),
    "two of the user": chat(*said("hi"), *said("you", "ho")),
    "system in between": chat(*said("hi", "ho"), SYSTEM, *said("hi", "ho")),
    "unknown role": chat({"role": "narrator", "content": "once"}, *said("hi", "ho")),
    "an image": chat({"role": "user", "content": [IMAGE]}, said("hi", "ho")[1]),
    "a string among messages": chat("hi", "ho"),
    "equal answers": pair(rejected="24 "),
    "empty chosen": pair(chosen=""),
    "broken line": GOOD + "{\n",
    "two formats": jsonl(*records("alpaca"), *records("sharegpt")),
    "a message each": jsonl(*said("hi", "ho")),
    "labels": jsonl(*({"label": "spam", "message": f"Buy {n}!"} for n in range(12))),
    "token ids": jsonl(*({"input_ids": [1, 2, k]} for k in range(12))),
    "empty file": "",
    "a PDF": b"%PDF-1.4 nothing",
    "two records": jsonl(*records("alpaca", 2)),
    "a reply that is too long": jsonl(*({"messages": said("x" * 60 + str(n), "yes")} for n in range(12))),
}  # fmt: skip
WORDS: dict[str, list[str]] = {
    "unknown format": ["--format", "sharegtp"],
    "another format": ["--format", "alpaca"],
    "skip misspelt": ["--on-bad-record", "ignore"],
    "unknown encoding": ["--encoding", "utf-9"],
    "tested on what it learns": ["--test-records", "a.jsonl"],
    "test records that are not there": ["--test-records", "b.jsonl"],
    "max_length too small": ["--max-length", "1"],
    "max_length at which nothing is left": ["--max-length", "8"],
    "max_length too large": ["--max-length", "65"],
    "max_length that is no number": ["--set", "max_length=long"],
    "a text to mix in that is not there": ["--mix-text", "more.txt"],
    "a share of no text": ["--mix-share", "0.3"],
    "a share that leaves nothing": ["--mix-text", "a.txt", "--mix-share", "1"],
    "a text to mix in that is empty": ["--mix-text", "a.txt"],
    "a general text that is not there": ["--general-text", "factbok"],
    "fewer than no replies": ["--replies", "-1"],
    "method misspelt": ["--method", "lara"],
    "setting misspelt": ["--set", "maxlength=8"],
    "two lengths": ["--epochs", "2"],
    "the order of a text": ["--set", "order=sliding"],
    "the beginning of a text": ["--set", "sample_prompt=It was"],
    "no run to lengthen": ["--extend", "9"],
    "a name with slashes": ["--run", "../x"],
    "adapters without a template": ["--method", "lora"],
}
SOURCES: dict[str, list[str]] = {
    "no records": [],
    "records that are not there": ["--records", "none.jsonl"],
    "named records misspelt": ["--records", "taskz"],
    "named records with labels": ["--records", "testaments"],
    "a text": ["--records", "shakespeare"],
    "a plain file": ["--records", "a.txt"],
    "a folder": ["--records", "runs"],
    "standard input": ["--records", "-"],
    "an address": ["--records", "https://a.org/x.jsonl"],
    "a name of nothing": ["--records", ""],
}


def classifier() -> None:
    base = RunFolder(Path("runs/base"))
    base.write(replace(base.read(), job=JobTable(kind=CLASSIFIER, labels=["a", "b"])))


def quantised() -> None:
    base = RunFolder(Path("runs/base"))
    base.write(replace(base.read(), quantization=QuantizationTable(bits=8, run="runs/whole")))


def templated(source: str) -> Callable[[], None]:
    def write() -> None:
        shutil.rmtree("runs/base")
        with_template(Path("runs"))
        Path("runs/base/chat_template.jinja").write_text(source)

    return write


DROPS = (
    "{% for m in messages if m.role == 'user' %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
)
SHOUTS = CHATML.replace("+ message['content'] +", "+ message['content'].upper() +")
REFUSES = "{{ raise_exception('no questions, please') }}"
BASES: dict[str, Callable[[], None]] = {
    "no base": lambda: shutil.rmtree("runs/base"),
    "a base that is a classifier": classifier,
    "a base in 8 bits": quantised,
    "a template that drops replies": templated(DROPS),
    "a template that changes replies": templated(SHOUTS),
    "a template that refuses": templated(REFUSES),
    "a template that is broken": templated("{{ messages | nofilter }}"),
    "a template that never ends": templated("{% for n in range(10 ** 9) %}{% endfor %}"),
    "a template that writes nothing": templated(""),
    "a base without weights": lambda: shutil.rmtree("runs/base/checkpoints"),
}
REFUSALS = """
missing field | a.jsonl, line 13: the field 'output' is missing or null; expected instruction, input, output; mend or remove it, or leave such records out with --on-bad-record skip
null reply | a.jsonl, line 13: the field 'output' is missing or null; expected instruction, input, output; mend or remove it, or leave such records out with --on-bad-record skip
empty reply | a.jsonl, line 13: message 2 is empty; expected the words of the assistant; fill it in, or remove it, or leave such records out with --on-bad-record skip
empty question | a.jsonl, line 13: the field 'instruction' is empty; expected the words of the user; fill it in, or remove it, or leave such records out with --on-bad-record skip
reply that is a number | a.jsonl, line 13: the field 'output' is a number; expected a string; write it as a string, or remove it, or leave such records out with --on-bad-record skip
no reply | a.jsonl, line 13: a question, but no reply; expected both; add it, or remove it, or leave such records out with --on-bad-record skip
the assistant first | a.jsonl, line 13: message 1 is of the assistant, but nobody asked; expected the user first; begin with the question, or remove it, or leave such records out with --on-bad-record skip
two of the user | a.jsonl, line 13: message 2 is of the user, as the one before it; expected user and assistant in turns; join the two, or remove it, or leave such records out with --on-bad-record skip
system in between | a.jsonl, line 13: message 3 is of the system, which may only come first; mend or remove it, or leave such records out with --on-bad-record skip
unknown role | a.jsonl, line 13: message 1 has the role narrator; expected system, user, assistant (or developer, human, prompter, gpt, chatgpt, bot, chatbot, model, ai); mend or remove it, or leave such records out with --on-bad-record skip
an image | a.jsonl, line 13: message 1 has a part of the type image_url; only parts of the type 'text' can be learnt; remove it, or leave such records out with --on-bad-record skip
a string among messages | a.jsonl, line 13: message 1 is a string; expected an object with 'role' and 'content'; mend or remove it, or leave such records out with --on-bad-record skip
equal answers | a.jsonl, line 13: chosen and rejected are equal; expected two different replies; mend or remove it, or leave such records out with --on-bad-record skip
empty chosen | a.jsonl, line 13: the field 'chosen' is empty; expected the words of the assistant; fill it in, or remove it, or leave such records out with --on-bad-record skip
broken line | a.jsonl, line 13: expected JSON, but Expecting property name enclosed in double quotes at character 1; mend or remove it, or leave such records out with --on-bad-record skip
two formats | a.jsonl: several formats in one file, alpaca (first: line 1) and sharegpt (first: line 13); expected one; divide the file, or choose, as with --format alpaca
a message each | a.jsonl: each record is one message (role (text), content (text)); expected a dialogue in each, such as {"messages": [{"role": "user", "content": "…"}, …]}; put its messages into one list
labels | a.jsonl: records of no known format (label (labels), message (text)); expected one of: alpaca (instruction, input, output), messages (messages with role and content), sharegpt (conversations with from and value), prompt-completion (prompt, completion), question-answer (question, answer), text (text), preferences (prompt, chosen, rejected); rename the fields
token ids | a.jsonl: records of no known format (input_ids[] (int)); expected one of: alpaca (instruction, input, output), messages (messages with role and content), sharegpt (conversations with from and value), prompt-completion (prompt, completion), question-answer (question, answer), text (text), preferences (prompt, chosen, rejected); rename the fields
empty file | a.jsonl: no records; expected some, such as prompt and completion
a PDF | a.jsonl: a PDF, not text; convert it, as with pdftotext, and give the text
two records | a.jsonl: 2 records of 2 left to learn from; expected 3 at least, one for each of train, test, val; give more
a reply that is too long | no reply is left of 10 at max_length = 64: all are cut off; give a larger one, or shorter dialogues
unknown format | --format sharegtp: no such format; did you mean 'sharegpt'?
another format | a.jsonl, line 1: a record of the format messages, but the file is read as alpaca; divide the file, one format in each (12 of 12 records cannot be used)
skip misspelt | on_bad_record = ignore: expected stop or skip
unknown encoding | unknown encoding 'utf-9'; expected a name such as utf-8, utf-16 or latin-1
tested on what it learns | a.jsonl: to train and to test on; name a file of its own for one
test records that are not there | b.jsonl: no such file, nor named records (known: tasks, chitchat); check the path
max_length too small | max_length = 1: expected 2 or more
max_length at which nothing is left | no reply is left of 10 at max_length = 8: all are cut off; give a larger one, or shorter dialogues
max_length too large | max_length = 65: runs/base sees at most 64 tokens (its context_length); give at most that
max_length that is no number | max_length=long: expected a whole number
a text to mix in that is not there | more.txt: no such file or folder, nor a named corpus (known: shakespeare, factbook, kjv, tasks, chitchat); check the path
a share of no text | mix_share = 0.3: of which text? give it with --mix-text, or leave the share out
a share that leaves nothing | mix_share = 1.0: expected 0 or more, and below 1
a text to mix in that is empty | a.txt: empty; expected some text
a general text that is not there | factbok: no such file or folder, nor a named corpus (did you mean 'factbook'?); check the path
fewer than no replies | n_replies = -1: expected 0 or more
method misspelt | method = 'lara': expected one of full, lora, dora
setting misspelt | --set maxlength=8: unknown key 'maxlength'; did you mean 'max_length'?
two lengths | steps = 1 with epochs = 2.0: passes over the text are a number of steps too; leave out one of the two
the order of a text | order = sliding: says how a text is learnt, not how records are, each of which comes once in a pass; leave it out
the beginning of a text | sample_prompt = It was: says how a text is learnt, not how records are, each of which comes once in a pass; leave it out
no run to lengthen | --extend 9: there is no run runs/a to lengthen; 'groundup runs' lists runs; a new one takes --steps
a name with slashes | --run ../x: expected a name without slashes; choose its folder by --runs
adapters without a template | method = lora: runs/base has no chat template, and the special tokens of ours are new rows of its embedding, which adapters leave as they are; learn all weights, with --method full
no records | which records? --records FILE names a JSONL, CSV or Parquet file with a dialogue or an instruction and a reply in each record; --records tasks is a set to begin with
records that are not there | none.jsonl: no such file, nor named records (known: tasks, chitchat); check the path
named records misspelt | taskz: no such file, nor named records (did you mean 'tasks'?); check the path
named records with labels | testaments: records with labels, as 'groundup finetune classify' learns from; expected dialogues; name a file of them, or one of: tasks, chitchat
a text | shakespeare: a text, not dialogues; named records are: tasks, chitchat
a plain file | a.txt: expected a file of records, ending in .jsonl, .ndjson, .json, .csv, .tsv, .parquet, or one of these and .gz, .bz2, .xz, .zst; if it is a table, rename it to end in .csv or .tsv, with a header such as 'prompt,completion' above it
a folder | runs: a folder; expected a file of records; name each (there: none)
standard input | -: records are read from files; write them into one, and name it
an address | https://a.org/x.jsonl: nothing is fetched from there; download it, name the file
a name of nothing | '': records without a name, as of an unset variable; name a file
no base | runs/base is not a run folder (no run.toml in it); 'groundup runs' lists runs, 'groundup train' makes one
a base that is a classifier | runs/base is a classifier (a, b); train on from the model that it was made from
a base in 8 bits | runs/base holds weights in 8 bits, which do not learn; take runs/whole, which it was made from
a template that drops replies | a.jsonl, line 1: the chat template drops reply 1, or changes more of it than the white space around it, as some drop the thoughts of earlier replies; leave out what it drops, or take a template that writes replies as they are
a template that changes replies | a.jsonl, line 1: the chat template drops reply 1, or changes more of it than the white space around it, as some drop the thoughts of earlier replies; leave out what it drops, or take a template that writes replies as they are
a template that refuses | a.jsonl, line 1: the chat template refuses the messages: no questions, please
a template that is broken | a.jsonl, line 1: the chat template cannot be used: No filter named 'nofilter'.; correct or remove it
a template that never ends | a.jsonl, line 1: the chat template cannot be used: Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).; correct or remove it
a template that writes nothing | a.jsonl, line 1: the chat template cannot be used: it writes nothing; correct or remove it
a base without weights | runs/base has no checkpoint yet; let it train to its first one
"""
EXPECTED = dict(line.split(" | ", 1) for line in REFUSALS.strip().splitlines())


@pytest.fixture
def here(groundup: Groundup, kept: Path) -> Groundup:
    """Calls a verb beside a base in runs/, good records and an empty text."""
    shutil.copytree(kept, "runs")
    Path("a.jsonl").write_text(GOOD)
    Path("a.txt").write_text("")
    return groundup


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the base, which is made once."""
    return with_base(tmp_path_factory.mktemp("instruct"))


def refusal(groundup: Groundup, case: str) -> str:
    """Call the verb as a case has it, and return the line with which it is refused."""
    if case in FILES:
        content = FILES[case]
        Path("a.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    if case in BASES:
        BASES[case]()
    source = SOURCES.get(case, ["--records", "a.jsonl"])
    done = groundup("finetune", "instruct", "base", *source, *QUICK, *WORDS.get(case, []))
    assert done.status in (1, 2)
    assert not Path("runs/a").exists()
    lines = [line for line in done.err.splitlines() if line.startswith("groundup: ")]
    assert len(lines) == 1
    assert "Traceback" not in done.err
    return lines[0].removeprefix("groundup: ")


CASES = [*FILES, *WORDS, *SOURCES, *BASES]


def test_every_case_has_its_line() -> None:
    assert list(EXPECTED) == CASES
    assert len(CASES) > 60


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_one_line(here: Groundup, case: str) -> None:
    assert refusal(here, case) == EXPECTED[case]
