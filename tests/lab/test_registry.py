"""What the list of experiments says is what their modules say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from groundup.base.errors import UsageError
from groundup.lab.registry import built_in, check_name, describe, experiment_files
from groundup.lab.running.checks import check_answer, check_studies


@pytest.mark.parametrize("name", experiment_files())
def test_a_file_is_read_as_it_is_imported(name: str) -> None:
    experiment, described = built_in(name), describe(name)
    assert experiment.name == described.name == name
    assert experiment.question == described.question
    assert experiment.question.endswith("?")
    assert (experiment.least, experiment.minutes) == (described.least, described.minutes)


@pytest.mark.parametrize("name", experiment_files())
def test_its_studies_can_be_run(name: str) -> None:
    experiment = built_in(name)
    for scale in (experiment.least, experiment.least + 1, 12.0):
        studies = experiment.studies(scale)
        check_studies(studies, 65, "shakespeare")
        check_answer(experiment, studies)
        assert experiment.answered_by or len(studies) < 4, "its answer is short"


def test_an_unknown_name() -> None:
    with pytest.raises(UsageError, match="no experiment 'nrom'; did you mean 'norm'"):
        check_name("nrom")


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys; from groundup.lab.registry import *; [describe(n) for n in experiment_files()]"
        "; import groundup.lab.own_file, groundup.lab.measures.text, groundup.lab.running.budget"
        "; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
