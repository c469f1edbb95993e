"""What no experiment can be: refused before anything is measured."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from groundup.base.errors import ConfigError, UsageError, nearest, quoted, shown
from groundup.lab.experiment import Arm, Cell, Experiment, Prediction, Setting, Study
from groundup.lab.running.fields import check_fields
from groundup.lab.running.identity import digest, setting_table
from groundup.model.checks import check_parts

LONGEST_NAME = 100
SLUG = rf"(?=.{{1,{LONGEST_NAME}}}\Z)[a-z0-9]+(-[a-z0-9]+)*"
"""Names of experiments and of studies."""


def check_experiment(experiment: Experiment) -> None:
    """Refuse an experiment that has no folder, no question or no studies."""
    name = experiment.name
    if not _is_slug(name):
        raise UsageError(
            f"an experiment is called {quoted(name)}; expected small letters, digits and -, at "
            f"most {LONGEST_NAME}, as its folder is called so"
        )
    check_fields(name, experiment, Experiment)


def _is_slug(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(SLUG, name) is not None


def check_studies(studies: Sequence[Study], vocab_size: int, text: str) -> None:
    """Refuse studies that could not tell anything, such as those whose arms do not differ."""
    if wrong := [study for study in studies if not isinstance(study, Study)]:
        raise UsageError(f"a study is {quoted(wrong[0])}; expected a groundup.lab.Study")
    if not studies:
        raise UsageError("the experiment has no study; give it one or more")
    _refuse_twice("two studies are called", (study.name for study in studies))
    for study in studies:
        if not _is_slug(study.name):
            raise UsageError(
                f"a study is called {quoted(study.name)}; expected small letters, digits and -"
            )
        _check_fields(study)
        for what, values in (
            ("arms", [arm.name for arm in study.arms]),
            ("seeds", study.seeds),
            ("values", study.xs),
        ):
            if not values:
                raise UsageError(f"{study.name}: it has no {what}; give one or more")
            _refuse_twice(f"{study.name}: two {what} are", values)
        _check_arms_differ(study, vocab_size, text)


def _check_fields(study: Study) -> None:
    check_fields(study.name, study, Study)
    check_fields(f"{study.name}: its prediction", study.prediction, Prediction)
    for arm in study.arms:
        check_fields(f"{study.name}: {shown(str(arm.name))}", arm, Arm)


def check_answer(experiment: Experiment, studies: Sequence[Study]) -> None:
    """Refuse an experiment whose answer is that of a study that it does not have."""
    names = [study.name for study in studies]
    for name in experiment.answered_by:
        if name not in names:
            raise UsageError(
                f"{experiment.name}: answered_by = {quoted(name)}: no such study; "
                f"{nearest(name, names)}"
            )


def _refuse_twice(what: str, values: Iterable[object]) -> None:
    (most, times), *_ = Counter(values).most_common(1)
    if times > 1:
        raise UsageError(f"{what} {shown(most)}; give each its own")


def _setting(study: Study, cell: Cell, vocab_size: int, text: str) -> Setting:
    """Return the setting of a cell; one that no model or training can have is refused."""
    try:
        setting = study.setting(cell, vocab_size, text)
        check_parts(setting.config, setting.parts)
    except ConfigError as error:
        raise ConfigError(f"{study.name}: {cell.arm}: {error}") from error
    return setting


def _check_arms_differ(study: Study, vocab_size: int, text: str) -> None:
    """Refuse arms that are the same in all that is measured, by their resolved settings."""

    found: dict[str, str] = {}
    for other in [arm.name for arm in study.arms]:
        cells = [Cell(study.name, other, x, study.seeds[0]) for x in study.xs]
        settings = [_setting(study, cell, vocab_size, text) for cell in cells]
        one = found.setdefault(digest(list(map(setting_table, settings))), other)
        if one != other:
            raise UsageError(
                f"{study.name}: the arms {shown(one)} and {shown(other)} do not differ; change a "
                "setting in one of them, or leave it out"
            )
