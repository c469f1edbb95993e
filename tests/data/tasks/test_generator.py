"""The tasks keep their word: right, balanced, different, and divided in templates and values."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter

import pytest

from groundup.base.errors import UsageError
from groundup.data.tasks import (
    CASE_MATTERS,
    KINDS,
    PER_KIND,
    TEST,
    TRAIN,
    Task,
    make_tasks,
    normalised,
    task_records,
)
from groundup.data.tasks.people_and_cities import CITIES, NAMES
from groundup.data.tasks.rewrite import past, third_person
from groundup.data.tasks.word_lists import ADJECTIVES, VERBS, WORDS
from tests.data.tasks.solutions import is_solved

TASKS = {split: make_tasks(split, n) for split, n in PER_KIND.items()}
BOTH = [*TASKS[TRAIN], *TASKS[TEST]]
MORE = make_tasks(TRAIN, 200, seed=7)
VERB_FORMS = {form(verb) for verb in VERBS for form in (str, past, third_person)}
LISTED = VERB_FORMS | {word.lower() for word in (*WORDS, *ADJECTIVES, *NAMES, *CITIES)}
"""All words that are values, in lower case."""


def words_of(tasks: list[Task]) -> set[str]:
    return {word for task in tasks for word in re.findall(r"\w+", task.question.lower())}


def of_kind(kind: str, split: str) -> list[Task]:
    return [task for task in TASKS[split] if task.kind == kind]


def test_there_are_2000_to_train_and_50_of_each_kind_to_test() -> None:
    assert len(KINDS) == 10
    for split, each in ((TRAIN, 200), (TEST, 50)):
        assert Counter(task.kind for task in TASKS[split]) == dict.fromkeys(KINDS, each)
        assert {task.split for task in TASKS[split]} == {split}


def test_they_are_the_same_everywhere() -> None:
    """A change of this hash changes what was trained on, and measured, under the name `tasks`."""
    text = json.dumps(list(task_records()))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "bc4aaaf7cc9d254c"


def test_a_seed_decides() -> None:
    some = make_tasks(TRAIN, 5, seed=3)
    assert some == make_tasks(TRAIN, 5, seed=3)
    assert not {one.question for one in some} & {one.question for one in make_tasks(TRAIN, 5, 4)}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_right_by_another_way(kind: str) -> None:
    tasks = [task for task in (*BOTH, *MORE) if task.kind == kind]
    wrong = [task for task in tasks if not is_solved(kind, task.question, task.answer)]
    assert wrong == []
    # and the other way finds wrong answers out
    others = [task.answer for task in tasks[1:]]
    different = [(t, a) for t, a in zip(tasks, others, strict=False) if t.answer != a]
    assert len(different) > 250
    assert not any(is_solved(kind, task.question, answer) for task, answer in different)


@pytest.mark.parametrize("split", TASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_best_constant_gets_a_fifth_at_most(kind: str, split: str) -> None:
    tasks = of_kind(kind, split)
    assert len(tasks) == PER_KIND[split]
    same = kind in CASE_MATTERS
    answers = Counter(normalised(task.answer, case_matters=same) for task in tasks)
    (answer, n_right), *_ = answers.most_common(1)
    assert n_right / len(tasks) <= 0.2
    assert n_right == sum(task.is_right(answer) for task in tasks)


@pytest.mark.parametrize("split", TASKS)
def test_no_place_in_a_comparison_is_the_best_answer(split: str) -> None:
    places = Counter[int]()
    for task in of_kind("compare", split):
        options = [task.question.find(value) for value in task.values if value in task.question]
        at = task.question.find(task.answer.split()[-1])
        places[sum(option < at for option in options)] += 1
    assert max(places.values()) <= 0.6 * places.total()


def test_no_question_comes_twice() -> None:
    assert len({task.question.lower() for task in BOTH}) == len(BOTH)


def test_questions_and_answers_are_short_and_plain() -> None:
    for task in BOTH:
        assert len(task.question.split()) < 60
        assert 1 <= len(task.answer.split()) <= 12
        for text in (task.question, task.answer):
            assert text == " ".join(text.split())
            assert text.isascii()
            assert "{" not in text
        if "letter" not in task.question:  # "the letter a in"
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", task.question), task.question


@pytest.mark.parametrize("kind", KINDS)
def test_templates_are_many_and_of_one_side(kind: str) -> None:
    forms = KINDS[kind].forms
    sides = {split: {one for form in forms for one in form.templates[split]} for split in TASKS}
    assert len(sides[TRAIN]) >= 6
    assert len(sides[TEST]) >= 3
    used = {split: {task.template for task in of_kind(kind, split)} for split in TASKS}
    assert not sides[TRAIN] & sides[TEST]
    assert not used[TRAIN] & used[TEST]
    for split in TASKS:  # and each is used
        texts = {one for one in sides[split] if any(made.startswith(one) for made in used[split])}
        assert texts == sides[split]


def test_values_are_of_one_side() -> None:
    train, test = (
        {value.lower() for task in TASKS[split] for value in task.values} for split in (TRAIN, TEST)
    )
    assert len(train) > 1000
    assert len(test) > 300
    assert not train & test


def test_no_word_or_number_of_a_test_question_is_one_of_training() -> None:
    """As the questions read, whatever they say of their values: listed words, and all digits."""
    shared = words_of([*TASKS[TRAIN], *MORE]) & words_of(TASKS[TEST])
    assert not shared & LISTED
    assert not {word for word in shared if re.search(r"\d", word)}
    assert len(words_of(TASKS[TEST]) & LISTED) > 200  # which would be found


def test_no_template_has_a_word_that_is_a_value() -> None:
    templates = {
        one for k in KINDS.values() for f in k.forms for t in f.templates.values() for one in t
    }
    shapes = {task.template for task in BOTH}
    for template in templates | shapes:
        plain = re.sub(r"\{\w+\}", " ", template.lower())
        assert not set(re.findall(r"\w+", plain)) & LISTED, template
        assert not re.search(r"\d", plain), template


def test_records_are_prompts_with_completions() -> None:
    records = dict(task_records())
    first = TASKS[TRAIN][0]
    assert records["tasks, train 1"] == {
        "prompt": first.question,
        "completion": first.answer,
        "kind": first.kind,
        "split": "train",
    }
    assert records["tasks, test 500"]["prompt"] == TASKS[TEST][-1].question
    kinds = [record["kind"] for record in itertools.islice(records.values(), 20)]
    assert kinds == [*KINDS, *KINDS]


def test_more_than_there_are_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundup.data.tasks.generator.MOST_TRIES", 1)
    with pytest.raises(UsageError, match=r"tasks of the kind .* only .* different ones were found"):
        make_tasks(TEST, 50)


def test_some_kinds_alone_are_what_they_are_among_all() -> None:
    alone = make_tasks(TEST, 50, kinds=["reverse", "convert"])
    assert [task.kind for task in alone[:4]] == ["reverse", "convert"] * 2
    assert alone[::2] == of_kind("reverse", TEST)
    assert alone[1::2] == of_kind("convert", TEST)


def test_an_unknown_split_or_kind_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"split = val: expected train or test"):
        make_tasks("val", 1)
    with pytest.raises(UsageError, match=r"revers is no kind of tasks; did you mean 'reverse'\?"):
        make_tasks(TEST, 1, kinds=["revers"])
