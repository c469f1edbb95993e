"""What `groundup finetune classify` is asked for; what of it is refused before torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.data.labelled import prepare_labelled
from groundup.data.labelled_folder import LabelledData, open_labelled
from groundup.data.record_sets import CLASSIFY
from groundup.finetune.request import FinetuneRequest, recorded
from groundup.finetune.settings import ClassifierSettings, learns_all
from groundup.runs import RunFolder
from groundup.runs.classifier import CLASSIFIER, asks_it, is_classifier, origin_of


@dataclass(frozen=True, kw_only=True)
class ClassifyRequest(FinetuneRequest):
    """What the user asked for of a classifier; `prepared` are its examples."""

    kind, verb = CLASSIFIER, CLASSIFY

    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)

    @property
    def own(self) -> ClassifierSettings:
        """The settings of a classifier."""
        return self.classifier

    @property
    def needs_base(self) -> bool:
        """Whether a part of the model stays as it is."""
        return not learns_all(self.classifier, self.train)

    def data(self) -> LabelledData:
        """Return the examples: read from the records, or as they were kept."""
        if self.prepared is not None:
            return open_labelled(self.prepared)
        return prepare_labelled(self.records, self.data_folder, **self.reading)

    def check_base(self) -> None:
        """Refuse a classifier as what another is made from."""
        folder = RunFolder(self.base)
        if folder.exists() and (manifest := folder.read()).kind == CLASSIFIER:
            goes_on = f", 'groundup resume {self.base}' goes on with it" * bool(manifest.request)
            makes = f"{asks_it(folder)}{goes_on}, and {origin_of(manifest)} makes another"
            raise is_classifier(folder, manifest, makes)


def recorded_classify(
    folder: RunFolder, own_data: Path | None = None, **others: Any
) -> ClassifyRequest:
    """Return the request that the run in `folder` began with, with some fields changed."""
    if (manifest := folder.read()).request is None:
        none = "it holds no training to go on with: "
        raise is_classifier(folder, manifest, none + asks_it(folder))
    words = recorded(folder, CLASSIFIER, own_data)
    own = ClassifierSettings(**words.pop("own"))
    return ClassifyRequest(**words, classifier=own, **others)
