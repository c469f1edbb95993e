"""The work of an experiment at a scale: its cells with their keys, and the measuring of one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from groundup.base.errors import GroundupError
from groundup.lab.experiment import TRAINED, Cell, Study, Values
from groundup.lab.measures.text import LabText
from groundup.lab.running.checks import check_answer, check_studies
from groundup.lab.running.failures import called
from groundup.lab.running.identity import cell_key, described, digest, setting_table
from groundup.lab.running.source import Source
from groundup.lab.running.values import checked_values


@dataclass(frozen=True, kw_only=True)
class Task:
    """A cell to be measured."""

    index: int
    """Its place among all cells of the experiment at this scale."""
    cell: Cell
    key: str
    """Of all that its figures depend on."""
    likeness: str
    """Cells in which this is equal take as long for a step."""
    steps: int
    is_trained: bool


class Work:
    """All cells of an experiment at a scale, on a text."""

    def __init__(self, source: Source, scale: float, text: LabText) -> None:
        self.source, self.scale, self.text = source, scale, text
        with called(f"{source.experiment.name}: making its studies"):
            self.studies: Sequence[Study] = list(source.experiment.studies(scale))
            check_studies(self.studies, self._vocab_size, text.name)
            check_answer(source.experiment, self.studies)
        self._of_all = source.common_key(text.fingerprint)
        self._cells = [(study, cell) for study in self.studies for cell in study.cells()]

    @property
    def _vocab_size(self) -> int:
        return self.text.tokenizer.vocab_size

    def tasks(self, studies: Sequence[Study]) -> list[Task]:
        """Return the cells of some of the studies, in their order."""
        chosen = {study.name for study in studies}
        return [self._task(i) for i, (study, _) in enumerate(self._cells) if study.name in chosen]

    def _task(self, index: int) -> Task:
        study, cell = self._cells[index]
        setting = study.setting(cell, self._vocab_size, self.text.name)
        table = setting_table(setting)
        table["train"] = described(replace(setting.train, steps=1, seed=0))
        return Task(
            index=index,
            cell=cell,
            key=cell_key(study, setting, self._of_all),
            likeness=digest([study.name, described(study.measure), table]),
            steps=setting.train.steps,
            is_trained=study.kind == TRAINED,
        )

    def measure(self, index: int, key: str, steps: int | None = None) -> tuple[Values, float]:
        """Measure a cell, whose key is as expected; return its values and the seconds it took.

        `steps` in place of its own make a training so short that it only tells its speed.
        """
        study, cell = self._cells[index]
        setting = study.setting(cell, self._vocab_size, self.text.name)
        if cell_key(study, setting, self._of_all) != key:
            raise GroundupError(
                "the experiment has changed while it ran; run the same command again"
            )
        if steps is not None:
            setting = replace(setting, train=replace(setting.train, steps=steps))
        begun = time.perf_counter()
        values = study.measure(setting)
        return checked_values(values), time.perf_counter() - begun
