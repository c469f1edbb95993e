"""What `groundup` shows of itself: to help(), to dir(), to a type checker, and to a star import."""

from __future__ import annotations

import ast
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import groundup

SOURCE = ast.parse(Path(groundup.__file__).read_text(encoding="utf-8"))


def test_the_docstring_has_a_line_for_every_name() -> None:
    listed = re.findall(r"^    (\w+) {2,}\S", groundup.__doc__ or "", re.MULTILINE)
    assert sorted(listed) == sorted(groundup.__all__)


def test_the_names_are_the_same_in_every_list() -> None:
    assert set(groundup.__all__) == set(groundup._MODULES)
    assert dir(groundup) == sorted(["__version__", *groundup.__all__])
    typed = {
        alias.asname or alias.name
        for block in SOURCE.body
        if isinstance(block, ast.If)
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert typed == set(groundup.__all__)


def test_help_shows_every_name_with_its_docstring() -> None:
    shown = pydoc.plain(pydoc.render_doc(groundup))
    for name in groundup.__all__:
        first = (getattr(groundup, name).__doc__ or "").partition("\n")[0]
        assert re.search(rf"^    (class )?{name}\b", shown, re.MULTILINE), name
        assert first, name
        assert first in shown, name


def test_a_star_import_brings_the_names() -> None:
    space: dict[str, object] = {}
    exec("from groundup import *", space)
    assert set(groundup.__all__) <= set(space)


@pytest.mark.parametrize("room", ["train", "generate"])
def test_a_room_is_an_attribute_and_says_where_its_verb_is(room: str) -> None:
    module = getattr(groundup, room)
    assert callable(getattr(module, room))
    with pytest.raises(TypeError, match=f"write: from groundup.{room} import {room}"):
        module(1)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean 'GPTConfig'"):
        _ = groundup.GPTConfg
    with pytest.raises(AttributeError, match="did you mean 'evaluate_text'"):
        _ = groundup.evaluate.evaluate_txt


def test_importing_it_is_instant() -> None:
    code = (
        "import sys; before = set(sys.modules); import groundup; dir(groundup);"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - sys.stdlib_module_names == {"groundup"}
