"""No file does harm: what is damaged or hostile is refused at once, in little space, with a line.

`SCALE=2 make test-long` hunts with twice as many inputs. To repeat one: `python -m
tests.faults.hunt FOLDER mutations 1 TARGET SEED`.
"""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import groundup
from tests.faults.apart import told_by
from tests.faults.pickles import BOMB, MARKER
from tests.scale import scaled

FEW, MANY = 1500, 20_000
UNSAFE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
OBJECTS = re.compile(r"(broadcast|all_gather|gather|scatter|send|recv)_object(_list)?")
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="measures memory as Linux tells it"
)


def problems(found: list[dict[str, Any]]) -> list[str]:
    return [
        f"{record['target']}, {label}: {problem}"
        for record in found
        for label, problem in record["problems"].items()
    ]


def check_mutations(folder: Path, count: int) -> None:
    found = told_by("hunt", folder, "mutations", str(count))
    assert not problems(found)
    assert sum(record["inputs"] for record in found) >= count
    assert len(found) > 20
    lenient = {record["target"] for record in found if not record["refused"]}
    assert lenient <= {"metrics.jsonl"}, "whose odd lines are passed over"


def test_mutated_files_do_no_harm(tmp_path: Path) -> None:
    check_mutations(tmp_path, FEW)


@pytest.mark.slow
def test_many_mutated_files_do_no_harm(tmp_path: Path) -> None:
    check_mutations(tmp_path, scaled(MANY))


@pytest.mark.slow
def test_large_files_are_refused_at_once_and_in_little_space(tmp_path: Path) -> None:
    assert not problems(told_by("hunt", tmp_path, "large"))


def test_nothing_is_unpickled_or_executed(tmp_path: Path) -> None:
    *found, control = told_by("hunt", tmp_path, "pickles")
    assert len(found) > 35
    assert not problems(found)
    assert not (tmp_path / MARKER).exists()
    assert "pickle.find_class" in problems([control])[0]


def test_no_module_unpickles_or_sends_objects() -> None:
    for file in Path(groundup.__file__).parent.rglob("*.py"):
        name = file.name
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Import() | ast.ImportFrom():
                    modules = {alias.name.partition(".")[0] for alias in node.names}
                    if isinstance(node, ast.ImportFrom):
                        modules = {(node.module or "").partition(".")[0]}
                    allowed = {"pickle"} if name == "pickles.py" else set()  # for its error
                    assert not modules & UNSAFE - allowed, file
                case ast.Attribute(attr=attribute) | ast.Name(id=attribute):
                    assert not OBJECTS.fullmatch(attribute), f"{file}: {attribute}"
                case ast.Call(func=ast.Name(id=called)):
                    assert called not in ("eval", "exec", "compile", "__import__"), file
                case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="load" | "loads")):
                    options = {k.arg: ast.unparse(k.value) for k in node.keywords}
                    is_safe = name == "pickles.py" and options.get("weights_only") == "True"
                    assert owner in ("json", "tomllib") or (owner == "torch" and is_safe), file


def test_the_pickle_would_have_left_its_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(BOMB)
    assert MARKER.exists()
