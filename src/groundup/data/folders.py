"""The files of a source: which of a folder, glob or archive are read, and what is said of the rest.

A folder's files are chosen by their endings, or by the patterns of `include`. Left out and counted
are other endings, what is hidden, linked folders, what cannot be listed or is no regular
file (a pipe, a socket, a broken link), and folders and pages of our own (`own_folders.py`).
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from groundup.base.errors import DataError, UsageError, nearest
from groundup.base.file_names import check_name
from groundup.base.files import file_error
from groundup.config import PRESETS
from groundup.config.other_names import TEXTS
from groundup.data.compressed import COMPRESSIONS, StoredFile
from groundup.data.corpora import CORPORA, corpus_files
from groundup.data.markup import EXTRA, MARKUP, can_read_markup
from groundup.data.own_folders import PAGE, is_own_page, own_kind
from groundup.data.reading_log import ReadingLog
from groundup.data.record_files import RECORD_FORMATS
from groundup.data.record_sets import CONTENTS, RECORD_SETS

STANDARD_INPUT = "-"
ARCHIVE = ".zip"
ENDINGS = (".txt", ".md", *RECORD_FORMATS, *MARKUP, ARCHIVE)


def format_of(path: StoredFile | PurePath) -> str:
    """Return the ending that says how a file is read, below that of a compression."""
    if path.suffix.lower() in COMPRESSIONS:
        return PurePath(path.stem).suffix.lower()
    return path.suffix.lower()


@dataclass(frozen=True)
class Selection:
    """Which files are wanted beside those of known endings, and where the rest is reported."""

    include: Sequence[str] = ()
    log: ReadingLog = field(default_factory=ReadingLog)
    matched: set[str] = field(default_factory=set)
    """The patterns of `include` that some file has met so far."""

    def files(self, sources: Sequence[str]) -> list[Path]:
        """Return the files of all sources, in their order, sorted within each.

        A file that is named more than once is read once: else what validates may be among what
        trains. A pattern that no file meets is a `UsageError`.
        """
        named = [path for source in sources for path in source_files(source, self)]
        times: dict[str, list[Path]] = {}
        for path in named:
            times.setdefault(os.path.abspath(path), []).append(path)  # noqa: PTH100 - links stand
        if again := [path for path, same in times.items() if len(same) > 1]:
            names = ", ".join([*again[:3], *["…"] * (len(again) > 3)])
            self.log.chose("again", f"named more than once, and read once: {names}")
        files = [same[0] for same in times.values()]
        if not any(format_of(path) == ARCHIVE for path in files):  # whose members are yet unknown
            self.check_matched(sources)
        return files

    def check_matched(self, sources: Sequence[str]) -> None:
        """Raise `UsageError` for a pattern that no file has met."""
        for pattern in self.include:
            if pattern not in self.matched:
                raise UsageError(
                    f"--include '{pattern}': no file in {' '.join(sources)} matches; give a "
                    "pattern of names or paths inside a folder, such as '*.py' or 'docs/*'"
                )


@dataclass
class FileFilter:
    """Says which files of one folder or archive are read, and counts the others by reason."""

    source: str
    selection: Selection
    skipped: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    need_packages: set[str] = field(default_factory=set)
    """Endings of files that were skipped for want of packages."""

    def takes(self, inside: PurePath, *, archives: bool = True) -> bool:
        """Whether the file at the path `inside` is read."""
        if any(part.startswith(".") for part in inside.parts):
            self.skipped["hidden file"] += 1
            return False
        patterns = {pattern for pattern in self.selection.include if _matches(inside, pattern)}
        self.selection.matched.update(patterns)
        kind = format_of(inside)
        lacks_package = kind in MARKUP and not can_read_markup()
        if patterns or (kind in ENDINGS and not lacks_package and (archives or kind != ARCHIVE)):
            return True
        self.need_packages.update([kind] * lacks_package)
        packed = inside.suffix if inside.suffix.lower() in COMPRESSIONS else ""
        self.skipped[f"{kind}{packed}" or "extensionless file"] += 1
        return False

    def summary(self) -> str:
        """Return what is not read, in words; an empty string where there is nothing."""
        counts = ", ".join(
            f"{count:,} {reason}{'' if count == 1 or reason.startswith('.') else 's'}"
            for reason, count in sorted(self.skipped.items(), key=lambda item: (-item[1], item))
        )
        parts = [f"skipped {self.skipped.total():,}: {counts}"] if counts else []
        if self.need_packages:
            endings = ", ".join(sorted(self.need_packages))
            parts.append(f"to read {endings}, run: pip install 'groundup[{EXTRA}]'")
        if self.left_out:
            names = [*sorted(self.left_out)[:3], *["…"] * (len(self.left_out) > 3)]
            parts.append(f"left out {len(self.left_out):,} of groundup's own: {', '.join(names)}")
        return "; ".join(parts)

    def log_skipped(self) -> None:
        """Write to the log what is not read."""
        if found := self.summary():
            self.selection.log.chose(f"files of {self.source}", f"{self.source}: {found}")


def _matches(inside: PurePath, pattern: str) -> bool:
    return fnmatchcase(inside.name, pattern) or fnmatchcase(inside.as_posix(), pattern)


def source_files(source: str, selection: Selection | None = None) -> list[Path]:
    """Return the files of a source, sorted; a real path comes before a corpus of the same name."""
    selection = selection or Selection()
    path = Path(source)
    if not source or (not source.strip() and not path.exists()):  # '' is this folder to a path
        raise UsageError(
            f"'{source}': a text without a name, as of an unset variable; name a file, or ."
        )
    check_name(source)
    try:
        if source == STANDARD_INPUT or path.is_file():
            return [path]
        if path.is_dir():
            return _folder_files(path, selection)
        exists = path.exists()
    except OSError as error:
        raise file_error(path, error) from error
    if exists:
        raise UsageError(f"{source}: not a regular file; pipe it in and name it '-'")
    if source in CORPORA:
        return sorted(corpus_files(source).glob("*.txt"))
    if glob.has_magic(source):
        return _glob_files(source, selection)
    if "://" in source:
        raise UsageError(f"{source}: nothing is fetched from there; download it, and name the file")
    if source in RECORD_SETS:
        contents = CONTENTS[RECORD_SETS[source].job]
        raise UsageError(f"{source}: {contents}, not a text; name them with --records")
    if source in PRESETS:
        raise UsageError(f"{source}: a preset, not a text; write --preset {source}")
    hint = nearest(path.stem if path.name == source else source, CORPORA, TEXTS)
    raise UsageError(
        f"{source}: no such file or folder, nor a named corpus ({hint}); check the path"
    )


def _glob_files(pattern: str, selection: Selection) -> list[Path]:
    """Return the files that meet a pattern, whatever their endings, but none of our own."""
    file_filter = FileFilter(pattern, selection)
    matches = map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207 - absolute too
    files = sorted({match for match in matches if match.is_file()})
    kinds = {folder: _kind_of(folder) for folder in {f for path in files for f in path.parents}}
    file_filter.left_out = [f"{folder} ({kind})" for folder, kind in kinds.items() if kind]
    files = [path for path in files if not any(map(kinds.get, path.parents))]
    file_filter.left_out += [f"{path} ({PAGE})" for path in files if is_own_page(path)]
    files = [path for path in files if not is_own_page(path)]
    if not files:
        but = f" ({file_filter.summary()})" if file_filter.left_out else ""
        raise UsageError(f"{pattern}: no file matches{but}; check the pattern and the folder")
    file_filter.log_skipped()
    return files


def _kind_of(folder: Path) -> str | None:
    try:
        return own_kind(folder, {path.name for path in folder.iterdir()})
    except OSError:  # it may be passed through, but not listed
        return None


def _folder_files(root: Path, selection: Selection) -> list[Path]:
    file_filter = FileFilter(str(root), selection)
    files = sorted(_walk(root, file_filter))
    if not files:
        found = file_filter.summary()
        selection.check_matched([f"{root} ({found})" if found else str(root)])
        raise DataError(
            f"{root}: no text in this folder{f' ({found})' if found else ''}; expected files "
            f"ending in {' '.join(ENDINGS)}, or these and {' or '.join(COMPRESSIONS)}; others are "
            "read as plain text with --include, such as --include '*.py'"
        )
    file_filter.log_skipped()
    return files


def _walk(root: Path, file_filter: FileFilter) -> Iterator[Path]:
    def unlisted(error: OSError) -> None:
        if error.filename == str(root):
            raise error
        file_filter.skipped["unreadable folder"] += 1

    for place, folders, names in os.walk(root, onerror=unlisted):
        folder = Path(place)
        if kind := own_kind(folder, {*folders, *names}):
            if folder == root:
                raise UsageError(
                    f"{root}: it holds {kind} of groundup's own, not text; name the text itself"
                )
            file_filter.left_out.append(f"{folder} ({kind})")
            folders.clear()
            continue
        folders[:] = [name for name in folders if _enters(folder / name, file_filter)]
        for path in (folder / name for name in names):
            if file_filter.takes(path.relative_to(root)):
                if is_own_page(path):
                    file_filter.left_out.append(f"{path} ({PAGE})")
                elif _is_regular(path):
                    yield path
                else:
                    file_filter.skipped["irregular file"] += 1


def _enters(folder: Path, file_filter: FileFilter) -> bool:
    """Whether a folder is walked; a link, which may lead in a circle, is not."""
    if folder.name.startswith("."):
        file_filter.skipped["hidden folder"] += 1
    elif folder.is_symlink():
        file_filter.skipped["linked folder"] += 1
    else:
        return True
    return False


def _is_regular(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # in a folder that may be listed, but not entered
        return False
