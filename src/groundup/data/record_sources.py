"""Where records with fields come from: files named by the user, and named records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from groundup.base.errors import DataError, UsageError, nearest, shown
from groundup.base.files import file_error
from groundup.data.compressed import COMPRESSIONS
from groundup.data.corpora import CORPORA
from groundup.data.folders import STANDARD_INPUT, format_of
from groundup.data.kinds import HEAD, kind_of
from groundup.data.reading_log import ReadingLog
from groundup.data.record_files import RECORD_FORMATS, stored_records
from groundup.data.record_sets import (
    CLASSIFY,
    CONTENTS,
    HEADERS,
    RECORD_SETS,
    RecordSet,
    check_job,
    sets_for,
)
from groundup.data.streams import incremental_decoder
from groundup.data.text_fields import Records
from groundup.data.texts import Reading, check_on_bad_record

TABLES = (".csv", ".tsv")
"""Files whose cells have no types: 1 may be a number or a text."""


def check_record_sources(sources: Sequence[str], *, job: str = CLASSIFY) -> None:
    """Raise the error of the first source that is no file of records, nor named ones for `job`."""
    if not sources:
        raise UsageError(f"no records; name a file of them, or one of: {', '.join(sets_for(job))}")
    for source in sources:
        if named_set(source) is None:
            _record_file(source, job)
        else:
            check_job(source, job)


def check_reading(
    sources: Sequence[str],
    test_sources: Sequence[str],
    on_bad_record: str,
    encoding: str,
    job: str,
) -> None:
    """Raise the error of a request to read records that cannot be carried out, before it is."""
    check_on_bad_record(on_bad_record)
    incremental_decoder(encoding)  # refuses one that is unknown
    check_record_sources([*sources, *test_sources] if sources else [], job=job)
    if both := set(sources) & set(test_sources):
        raise UsageError(f"{min(both)}: to train and to test on; name a file of its own for one")


def once_each(sources: Sequence[str], log: ReadingLog) -> list[str]:
    """Return the sources without those that are named again, which is told."""
    again = [source for source in dict.fromkeys(sources) if sources.count(source) > 1]
    if again:
        log.chose("again", f"named more than once, and read once: {', '.join(again)}")
    return list(dict.fromkeys(sources))


def named_set(source: str) -> RecordSet | None:
    """Return the named records that a source is; a file of the same name comes before them.

    A folder does not: it is no file of records, and may well be called `tasks`.
    """
    is_other = _exists(source) and not Path(source).is_dir()
    return None if is_other else RECORD_SETS.get(source)


def has_types(source: str) -> bool:
    """Say whether a source tells numbers from texts, as a CSV does not."""
    return named_set(source) is not None or format_of(Path(source)) not in TABLES


def source_records(
    source: str, reading: Reading, encoding: str = "utf-8", job: str = CLASSIFY
) -> Records:
    """Yield where each record of a source stands, and it, a `DataError` in place of a broken one.

    A source is a file of `RECORD_FORMATS`, packed or not, or the name of one of `RECORD_SETS`.
    Raises `UsageError` for what is not there and `DataError` for a file of another format.
    """
    if (known := named_set(source)) is not None:
        return known.records()
    path = _record_file(source, job)
    return stored_records(path, format_of(path), reading, encoding)


def refuse_broken(held: list[tuple[str, object]], on_bad_record: str) -> None:
    """Raise what is wrong with the first broken record before its fields are missed."""
    for _, record in held:
        if isinstance(record, DataError) and on_bad_record == "stop":
            raise or_skip(record) from record


def or_skip(error: DataError) -> DataError:
    """Return an error about a record, and that such records may be left out."""
    return DataError(f"{error}, or leave such records out with --on-bad-record skip")


def _exists(source: str) -> bool:
    try:
        return bool(source) and Path(source).exists()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def _record_file(source: str, job: str) -> Path:
    path = Path(source)
    if source == STANDARD_INPUT:
        raise UsageError("-: records are read from files; write them into one, and name it")
    if not _exists(source):
        raise _unknown(source, job)
    if path.is_dir():
        inside = [p.name for p in sorted(path.iterdir()) if format_of(p) in RECORD_FORMATS]
        found = ", ".join([*inside[:3], *["…"] * (len(inside) > 3)]) or "none"
        raise UsageError(
            f"{source}: a folder; expected a file of records; name each (there: {found})"
        )
    if not path.is_file():
        raise UsageError(f"{source}: not a regular file; write the records into one, and name it")
    if format_of(path) not in RECORD_FORMATS:
        raise _other_format(path, HEADERS[job])
    return path


def _unknown(source: str, job: str) -> UsageError:
    if not source:
        return UsageError("'': records without a name, as of an unset variable; name a file")
    if source in CORPORA:
        sets = ", ".join(sets_for(job))
        return UsageError(f"{source}: a text, not {CONTENTS[job]}; named records are: {sets}")
    if "://" in source:
        return UsageError(f"{source}: nothing is fetched from there; download it, name the file")
    hint = nearest(Path(source).stem, sets_for(job))
    return UsageError(f"{shown(source)}: no such file, nor named records ({hint}); check the path")


def _other_format(path: Path, header: str) -> DataError:
    try:
        with path.open("rb") as file:
            kind = kind_of(file.read(HEAD))
    except OSError as error:
        raise file_error(path, error) from error
    formats = f"{', '.join(RECORD_FORMATS)}, or one of these and {', '.join(COMPRESSIONS)}"
    if kind is not None:
        return DataError(f"{path}: {kind.what}, not records; expected a file ending in {formats}")
    return DataError(
        f"{path}: expected a file of records, ending in {formats}; if it is a table, rename it to "
        f"end in .csv or .tsv, with a header such as '{header}' above it"
    )
