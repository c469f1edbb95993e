"""Which fields of labelled records are the text, the label and the group: given, or guessed.

The text is decided as for training texts (`text_fields.py`), among the fields that are not given as
another. The label, where it is not given, is

1. the field called `label`, in whatever case, if most records have it;
2. else the only field whose values may be classes: in most records, at least two different ones,
   at most 50, of up to three words or whole numbers or booleans, each twice in the mean; not called
   like ids, links, languages or splits;
3. else a refusal that lists the fields.

A group is never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

from groundup.base.errors import DataError, UsageError, nearest, shown
from groundup.data.text_fields import (
    MOST_LABELS,
    Field,
    Survey,
    called_like_others,
    choose_field,
    listed_fields,
)

CALLED_LIKE_LABELS = frozenset("label labels category tag tags".split())  # noqa: SIM905


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Names of the fields of a record; None is one to be guessed, or a group that there is not."""

    text: str | None = None
    label: str | None = None
    group: str | None = None

    def check(self) -> None:
        """Raise `UsageError` where one field is given as two."""
        given = {"text": self.text, "label": self.label, "group": self.group}
        for one, other in (("text", "label"), ("text", "group"), ("label", "group")):
            if given[one] is not None and given[one] == given[other]:
                raise UsageError(
                    f"--{one}-field and --{other}-field are both '{shown(given[one])}'; expected "
                    "two different fields"
                )


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The fields that were decided upon."""

    text: str
    label: str
    group: str | None

    def __str__(self) -> str:
        group = f", the group '{shown(self.group)}'" if self.group else ""
        return f"the text is the field '{shown(self.text)}', the label '{shown(self.label)}'{group}"


def choose_fields(survey: Survey, name: str, asked: Fields) -> Chosen:
    """Return the fields of the records of `name`, or raise `DataError` where nothing decides."""
    if all(name == "" or name.startswith("[]") for name in survey.fields):
        raise DataError(
            f"{name}: expected records with fields, such as 'text' and 'label', but found single "
            "values; write each as an object or a row"
        )
    for flag, field in (("text", asked.text), ("label", asked.label), ("group", asked.group)):
        if field is not None:
            _check_there(survey, name, flag, field)
    text = choose_field(survey.without(asked.label, asked.group), name, asked.text)
    label = asked.label or _guess_label(survey, name, text, asked.group)
    if text == label:  # as `text` was taken, but has the labels
        raise DataError(f"{name}: the field '{shown(text)}' is both; choose with --text-field")
    return Chosen(text=text, label=label, group=asked.group)


def _check_there(survey: Survey, name: str, flag: str, field: str) -> None:
    if field in survey.fields:
        return
    inside = [n for n in survey.fields if n.startswith((f"{field}.", f"{field}[]"))]
    if not inside:
        hint = nearest(field, [shown(n, 40) for n in survey.fields][:50])
        raise DataError(
            f"{name}: --{flag}-field '{shown(field)}': none of {survey.n_seen:,} records has it; "
            f"{hint}"
        )
    if inside[0].startswith(f"{field}[]"):
        raise DataError(
            f"{name}: the field '{shown(field)}' is a list; expected one value as the {flag}; "
            f"choose another with --{flag}-field, or write one value into it"
        )
    raise DataError(
        f"{name}: the field '{shown(field)}' is an object; name what is in it, as with "
        f"--{flag}-field {shown(inside[0])}"
    )


def _guess_label(survey: Survey, name: str, *others: str | None) -> str:
    """Return the label by the rule above, which is none of the `others`."""
    most = {n: f for n, f in survey.in_most().items() if f.top and n not in others}
    if len(named := [n for n in most if n.casefold() == "label"]) == 1:
        return named[0]
    likely = [n for n, f in most.items() if _may_be_label(n, f)]
    if len(likely) == 1:
        return likely[0]
    found = listed_fields(survey)
    why = (
        f"several may be: {', '.join(shown(n, 40) for n in likely)}" if likely else "none looks so"
    )
    such = shown(likely[0] if likely else "NAME")
    raise DataError(
        f"{name}: which field is the label? expected a field 'label', or one only with few "
        f"different values, but found {found} ({why}); choose, as with --label-field {such}"
    )


def _may_be_label(name: str, field: Field) -> bool:
    last = name.split("_")[-1].casefold()
    return (
        field.may_be_classes
        and 2 <= len(field.values) <= MOST_LABELS
        and 2 * len(field.values) <= field.n_present
        and (last in CALLED_LIKE_LABELS or not called_like_others(name))
    )
