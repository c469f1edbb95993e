"""What a reply may look like, and that nothing wrong passes: both ways, for each kind."""

from __future__ import annotations

import pytest

from groundup.data.tasks import CASE_MATTERS, KINDS, TEST, Task, is_right, make_tasks, normalised

TASKS = make_tasks(TEST, 50)


def tasks_of(kind: str) -> list[Task]:
    return [task for task in TASKS if task.kind == kind]


def written_differently(answer: str) -> list[str]:
    return [
        answer,
        f"  {answer}\n",
        f"{answer.removesuffix('.')}.",
        answer.removesuffix("."),
        f"The answer is {answer}",
        f"the answer is: {answer}",
        f"Answer: {answer}",
        answer.replace(" ", "  "),
    ]


def wrong(answer: str) -> list[str]:
    bare = answer.removesuffix(".")
    return [
        "",
        ".",
        "The answer is",
        bare[:-1],
        bare[1:],
        f"{bare}1",
        f"1{bare}",
        f"{bare} {bare}",
        f"{bare}..",
        f"{bare}\n\nAnother question",
        f"It is {bare}",
        f"not {bare}",
        f"{bare} or so",
        f"The answer is not {bare}",
        f"The answer is the answer is {bare}",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_right_replies_pass_however_they_are_written(kind: str) -> None:
    for task in tasks_of(kind):
        for reply in written_differently(task.answer):
            assert task.is_right(reply), reply


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_replies_do_not(kind: str) -> None:
    for task in tasks_of(kind):
        for reply in wrong(task.answer):
            assert not task.is_right(reply), (task.answer, reply)
        for other in tasks_of(kind):
            assert task.is_right(other.answer) == (task.answer == other.answer)
        assert not task.is_right(task.question)


@pytest.mark.parametrize("kind", KINDS)
def test_case_counts_only_where_it_is_the_task(kind: str) -> None:
    assert (kind in CASE_MATTERS) == (kind == "upper-case")
    for task in tasks_of(kind):
        for reply in {task.answer.lower(), task.answer.swapcase()} - {task.answer}:
            assert task.is_right(reply) == (kind != "upper-case")


@pytest.mark.parametrize("kind", ["reverse", "sort-words", "sort-numbers"])
def test_the_order_of_a_list_counts_and_so_do_its_commas(kind: str) -> None:
    lists = [task for task in tasks_of(kind) if "," in task.answer]
    assert len(lists) > 20
    for task in lists:
        items = task.answer.split(", ")
        assert not task.is_right(", ".join([*items[1:], items[0]]))
        assert not task.is_right(", ".join(items[:-1]))
        assert not task.is_right(" ".join(items))
        assert not task.is_right(",".join(items))


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        ("4", "four"),
        ("4", "4 letters"),
        ("4", "04"),
        ("4", "4.0"),
        ("40", "4"),
        ("3", "-3"),
        ("1000", "1,000"),
        ("$45", "45"),
        ("$45", "$45.00"),
        ("lamp", "the lamp"),
        ("lamp", '"lamp"'),
        ("lamp", "lamps"),
        ("May 3", "3 May"),
        ("May 3", "May 30"),
    ],
)
def test_what_is_wrong_by_rule(answer: str, reply: str) -> None:
    assert not is_right(answer, reply)


def test_only_the_beginning_is_an_introduction() -> None:
    assert normalised("The answer is  Lisbon .") == "lisbon"
    assert normalised("The answer isolates") == "the answer isolates"
    assert normalised("What the answer is 4") == "what the answer is 4"
    assert normalised("Answer: LAMP", case_matters=True) == "LAMP"


def test_nothing_is_no_answer() -> None:
    assert not is_right("", "")
    assert not is_right(".", ".")
