"""Where an experiment comes from: its name, a file, or an object in Python."""

from __future__ import annotations

import inspect
import uuid
from dataclasses import dataclass
from pathlib import Path

from groundup.base.errors import UsageError, quoted
from groundup.lab.experiment import Experiment
from groundup.lab.own import own_experiment
from groundup.lab.registry import built_in, check_name, experiment_files, is_own
from groundup.lab.running.checks import check_experiment
from groundup.lab.running.code import code_digest
from groundup.lab.running.identity import common_key


@dataclass(frozen=True, kw_only=True)
class Source:
    """An experiment and how another process finds it again."""

    experiment: Experiment
    reference: str | None
    """A name or a path; None for an object, which no other process can find."""
    code: str
    """A digest of its code."""

    def common_key(self, fingerprint: str) -> str:
        """Return what all its cells depend on; `fingerprint` is that of the text."""
        return common_key(self.experiment.name, self.code, fingerprint)


def find_source(given: str | Path | Experiment) -> Source:
    """Return the experiment of a name, a .toml or .py file, or the object itself."""
    source = _found(given)
    check_experiment(source.experiment)
    return source


def _found(given: str | Path | Experiment) -> Source:
    if isinstance(given, Experiment):
        return _of_object(given)
    if not isinstance(given, str | Path):
        raise UsageError(
            f"experiment = {quoted(given)}: expected a name, a .toml or .py file, or an Experiment"
        )
    if is_own(given):
        path = Path(given)
        code = code_digest(path) if path.suffix == ".py" else ""
        return Source(experiment=own_experiment(path), reference=str(path.absolute()), code=code)
    check_name(str(given))
    code = code_digest(experiment_files()[str(given)])
    return Source(experiment=built_in(str(given)), reference=str(given), code=code)


def _of_object(experiment: Experiment) -> Source:
    """Return the source of an object: one of ours has a name, another one maybe a file."""
    name = experiment.name
    if name in experiment_files() and built_in(name) is experiment:
        return _found(name)
    try:
        file = inspect.getsourcefile(experiment.studies)
    except TypeError:  # a partial, or an object that can be called
        file = None
    is_there = file is not None and Path(file).is_file()
    code = code_digest(Path(str(file))) if is_there else uuid.uuid4().hex  # never taken again
    return Source(experiment=experiment, reference=None, code=code)
