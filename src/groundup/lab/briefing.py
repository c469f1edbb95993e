"""What is told of a study before it is measured: its arms, what is equal, how it is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from groundup.base.words import counted
from groundup.lab.experiment import TRAINED, Cell, Setting, Study
from groundup.lab.plan import Plan
from groundup.optim.schedule import warmup_steps

MOST_VALUES = 8
"""Values that are listed; of more only the first and the last are."""
TITLES = {"adamw": "AdamW", "muon": "Muon"}
RATES = {"constant": "a fixed rate", "cosine": "a rate falling as a cosine", "wsd": "wsd rates"}


def study_lines(plan: Plan, study: Study, with_prediction: bool) -> Iterator[tuple[str, str]]:
    """Yield label and text of each line about a study."""
    if with_prediction:
        yield "Predicted", predicted(study)
    yield "Arms", ", ".join(arm.name for arm in study.arms)
    if study.x_name:
        yield study.x_name.capitalize(), _values(study.xs)
    yield "Equal", study.equal
    yield "Measured", study.measured
    if study.kind == TRAINED:
        yield "Training", training_words(_settings(plan, study))
    n_cells = len(study.arms) * len(study.xs) * len(study.seeds)
    sizes = [counted(len(study.arms), "arm")]
    sizes += [counted(len(study.xs), "value")] if study.x_name else []
    yield "Cells", f"{n_cells:,}: {' x '.join([*sizes, counted(len(study.seeds), 'seed')])}"


def predicted(study: Study) -> str:
    """Return a study's prediction with its source."""
    says = study.prediction.says.rstrip(".")
    return f"{says} ({study.prediction.source})" if study.prediction.source else says


def _settings(plan: Plan, study: Study) -> list[Setting]:
    """Return the settings of all arms and values, with the first seed."""
    text = plan.work.text
    return [
        study.setting(
            Cell(study.name, arm.name, x, study.seeds[0]), text.tokenizer.vocab_size, text.name
        )
        for x in study.xs
        for arm in study.arms
    ]


def training_words(settings: Sequence[Setting]) -> str:
    """Return how models are trained, in words; several values where arms differ in them."""
    trains = [setting.train for setting in settings]
    optimizers = _distinct(TITLES[train.optimizer] for train in trains)
    rates = _values([train.peak_learning_rate(s.config.emb_dim)
                     for train, s in zip(trains, settings, strict=True)])  # fmt: skip
    kinds = _distinct(RATES[train.schedule] for train in trains)
    warm = _values([warmup_steps(train) for train in trains])
    rising = "" if warm == "0" else f" after {warm} steps of warm-up"
    steps = _values([train.steps for train in trains])
    batches = _values([train.sequences_per_step for train in trains])
    lengths = _values([setting.config.context_length for setting in settings])
    decay = _values([train.weight_decay for train in trains])
    clip = _values([train.grad_clip for train in trains])
    return (
        f"{optimizers} at {kinds} of {rates}{rising}; {steps} steps of {batches} sequences "
        f"of {lengths} tokens; weight decay {decay}; gradients no longer than {clip}"
    )


def _distinct(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))


def _values(values: Iterable[float]) -> str:
    """Return distinct numbers as a list, or the first and the last of many."""
    found = [f"{value:,g}" for value in dict.fromkeys(values)]
    if len(found) > MOST_VALUES:
        return f"{found[0]} to {found[-1]} ({len(found)} values)"
    return ", ".join(found)
