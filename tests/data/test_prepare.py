import hashlib
import json
import random
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from groundup.base.errors import DataError, TokenizerError, UsageError
from groundup.data import open_prepared, open_tokens, prepare
from groundup.data.units import cut_safely, units
from groundup.tokenizer import ByteTokenizer, train_bpe

WORDS = "the quick brown fox's jumps over 13 lazy dogs, and — Ünïcode 語 they've!? slept\n\n on  "
BPE = train_bpe([WORDS * 50, "  \n\n \t. 's 'll\n" * 30], 400)
tricky = st.text(
    st.sampled_from("ab1.'s \n\t\r\u00a0\u3000\u001c\u0085é語\u0301\U0001f600")
    | st.characters(exclude_categories=("Cs",))
)


def prose(n: int, seed: int = 1) -> str:
    draw = random.Random(seed)
    words = WORDS.split(" ")
    return " ".join(draw.choice(words) for _ in range(n))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def whole(folder: Path, split: str) -> np.ndarray:
    tokens = open_tokens(folder, split)
    return tokens.read(0, tokens.n_tokens)


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


# Cutting


def is_safe(text: str, at: int) -> bool:
    return text[at] in " \n" and not text[at - 1].isspace()


@given(st.lists(tricky, max_size=12), st.integers(1, 40))
@example([" \u001c\n", "a"], 1)
@example(["one two", " three\t four", "five six seven"], 8)
@settings(max_examples=300)
def test_encoding_in_units_equals_encoding_whole(pieces, size):
    """Where a safe place exists; a text that had to be cut elsewhere still decodes to itself."""
    cut = [text for text, _ in cut_safely(pieces, size)]
    text = "".join(pieces)
    assert "".join(cut) == text
    encoded = [token for unit in units([*pieces, None], size) for token in unit.encode(BPE)]
    assert encoded[-1] == BPE.end_of_text
    assert BPE.decode(encoded) == text
    forced = [n for n in range(len(cut) - 1) if not is_safe(cut[n] + cut[n + 1], len(cut[n]))]
    for n in forced:
        assert len(cut[n]) >= size
        assert not any(is_safe(cut[n], at) for at in range(1, len(cut[n])))
    if not forced:
        assert encoded[:-1] == BPE.encode(text)


@given(tricky)
@settings(max_examples=500)
def test_words_end_before_a_white_space_that_follows_another_character(text):
    """The claim behind it, at every such place and not only at the last."""
    whole_text = BPE.encode(text)
    for at in range(1, len(text)):
        if is_safe(text, at):
            assert BPE.encode(text[:at]) + BPE.encode(text[at:]) == whole_text


def test_a_long_text_is_encoded_the_same_in_many_units():
    text = prose(60_000)
    pieces = [text[i : i + 10_007] for i in range(0, len(text), 10_007)]
    parts = [unit.encode(BPE) for unit in units(pieces, 1 << 14)]
    assert len(parts) > 10
    np.testing.assert_array_equal(np.concatenate(parts), BPE.encode_array(text))


@given(st.lists(st.none() | st.text(max_size=9)), st.integers(1, 30))
def test_units_keep_order_and_ends(pieces, size):
    tokens = [t for unit in units(pieces, size) for t in unit.encode(ByteTokenizer()).tolist()]
    expected = []
    for piece in pieces:
        expected += [256] if piece is None else piece.encode()
    assert tokens == expected


def test_a_text_without_any_white_space_is_cut_all_the_same():
    cut = [text for text, _ in cut_safely(["x" * 10] * 10, 25)]
    assert max(map(len, cut)) <= 35
    assert "".join(cut) == "x" * 100


# Preparing


@pytest.mark.parametrize(
    ("spec", "dtype"), [("chars", np.uint8), ("bytes", np.uint16), ("bpe", np.uint16)]
)
def test_what_is_prepared_reads_back(tmp_path, spec, dtype):
    text = prose(3000)
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    seen = []
    data = prepare(
        [str(tmp_path / "text.txt")],
        spec,
        300,
        tmp_path / "out",
        shard_tokens=4000,
        progress=lambda *step: seen.append(step),
    )
    assert data.folder == tmp_path / "out" / data.fingerprint
    read = ""
    for split in ("train", "val"):
        ids = whole(data.folder, split)
        assert ids.dtype == dtype
        read += data.tokenizer.decode(ids)
        entry = data.manifest["splits"][split]
        assert entry["bytes"] == len(data.tokenizer.decode(ids).encode())
        assert entry["tokens"] == len(ids) == data.tokens(split).n_tokens
        for shard in entry["shards"]:
            stored = (data.folder / shard["file"]).read_bytes()
            assert shard["size"] == len(stored) == shard["tokens"] * np.dtype(dtype).itemsize
            assert shard["sha256"] == hashlib.sha256(stored).hexdigest()
        assert all(shard["tokens"] == 4000 for shard in entry["shards"][:-1])
    assert read == text
    assert len(data.manifest["splits"]["train"]["shards"]) > 1
    assert seen[-1] == ("encode", len(text.encode()), len(text.encode()))
    assert "last 10%" in data.split_rule
    assert json.loads((data.folder / "manifest.json").read_text())["tokenizer"]["kind"] == spec
    assert not (data.folder / "unfinished.json").exists()
    assert not whole(data.folder, "val").flags.writeable


def test_records_divide_by_hash_and_each_ends_with_end_of_text(tmp_path):
    texts = [f"record {n} says {prose(n % 7 + 1, n)}" for n in range(300)]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / "r.jsonl").write_text(lines)
    data = prepare([str(tmp_path / "r.jsonl")], "bytes", 0, tmp_path / "out")
    found = {}
    for split in ("train", "val"):
        raw = whole(data.folder, split).tolist()
        assert raw[-1] == 256
        rows = np.split(np.array(raw), np.flatnonzero(np.array(raw) == 256) + 1)[:-1]
        found[split] = [bytes(row[:-1].tolist()).decode() for row in rows]
        assert data.manifest["splits"][split]["documents"] == len(found[split])
    assert sorted(found["train"] + found["val"]) == sorted(texts)
    assert 10 <= len(found["val"]) <= 60
    validating = {t for t in texts if hashlib.sha256(t.encode()).digest()[0] < 25}
    assert validating <= set(found["val"])
    assert data.manifest["documents"] == 300


def test_the_number_of_workers_and_the_names_of_files_change_nothing(tmp_path):
    folders = []
    for number, workers in enumerate((1, 3)):
        source = tmp_path / f"{number}.txt"
        source.write_text(prose(40_000), encoding="utf-8")
        out = tmp_path / f"out{number}"
        data = prepare([str(source)], "chars", 0, out, workers=workers, shard_tokens=30_000)
        folders.append(data.folder)
    one, other = map(contents, folders)
    assert folders[0].name == folders[1].name
    for name in one.keys() - {"manifest.json"}:
        assert one[name] == other[name]


def test_a_second_call_reads_the_text_once_and_encodes_nothing(tmp_path, monkeypatch):
    (tmp_path / "t.txt").write_text(prose(2000), encoding="utf-8")
    arguments = ([str(tmp_path / "t.txt")], "bpe", 300, tmp_path / "out")
    first = prepare(*arguments)
    before = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    stages = set()
    again = prepare(*arguments, progress=lambda stage, done, total: stages.add(stage))
    assert stages == {"scan"}
    assert again.manifest == first.manifest
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == before
    assert open_prepared(first.folder).manifest == first.manifest


def test_whatever_changes_the_tokens_changes_the_folder(tmp_path):
    (tmp_path / "t.txt").write_text(prose(500), encoding="utf-8")
    BPE.save(tmp_path / "own.json")

    def fingerprint(spec="bytes", size=300, text=None, **options):
        source = [str(tmp_path / "t.txt")]
        return prepare(source, spec, size, tmp_path / "out", **options).fingerprint

    plain = fingerprint()
    bpe = fingerprint("bpe")
    own = fingerprint(str(tmp_path / "own.json"))
    others = [fingerprint("chars"), fingerprint("bpe", 310), fingerprint(shard_tokens=100)]
    split = fingerprint(split_on="fox")
    assert fingerprint(size=999) == plain, "bytes have no vocabulary to choose"
    (tmp_path / "t.txt").write_text(prose(500) + "!", encoding="utf-8")
    assert len({plain, bpe, own, *others, split, fingerprint()}) == 8


def test_characters_of_the_validation_text_are_known(tmp_path):
    (tmp_path / "t.txt").write_text("ab" * 500 + "ç", encoding="utf-8")
    data = prepare([str(tmp_path / "t.txt")], "chars", 0, tmp_path / "out")
    assert data.tokenizer.vocab_size == 3
    (tmp_path / "u.txt").write_text("abd" * 500)
    alphabet = str(data.folder / "tokenizer.json")
    with pytest.raises(TokenizerError, match="'d'"):
        prepare([str(tmp_path / "u.txt")], alphabet, 0, tmp_path / "out")
    skipped = prepare([str(tmp_path / "u.txt")], alphabet, 0, tmp_path / "out", unknown="skip")
    tokens = sum(skipped.tokens(split).n_tokens for split in ("train", "val"))
    assert tokens == 1000


def test_standard_input_is_read_once_for_all_passes(tmp_path):
    code = """
        import sys
        from groundup.data import prepare
        print(prepare(["-"], "bpe", 300, sys.argv[1]).manifest["splits"]["train"]["bytes"])
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    text = prose(2000)
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
    assert int(done.stdout) == pytest.approx(0.9 * len(text.encode()), abs=5)


def test_wishes_that_make_no_sense_are_refused_at_once(tmp_path):
    (tmp_path / "t.txt").write_text("some text")
    source = [str(tmp_path / "t.txt")]
    with pytest.raises(UsageError, match="workers = 0"):
        prepare(source, "bytes", 0, tmp_path, workers=0)
    with pytest.raises(UsageError, match="bpee"):
        prepare(["absent"], "bpee", 0, tmp_path)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(DataError, match="empty"):
        prepare([str(tmp_path / "empty.txt")], "bytes", 0, tmp_path)


# Killed, full, damaged, twice at once


KILLED = """
    import os, signal, sys
    from groundup.data import prepare
    calls = 0
    def progress(stage, done, total):
        global calls
        calls += stage == "encode"
        if calls == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
    prepare([sys.argv[1]], "bpe", 350, sys.argv[2], shard_tokens=20_000, workers=2,
            progress=progress)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
@pytest.mark.parametrize("by_hash", [False, True], ids=["by position", "by hash"])
def test_a_killed_call_goes_on_from_the_last_finished_shard(tmp_path, by_hash):
    source = tmp_path / "t.jsonl"
    texts = [prose(6_000, n) for n in range(60)] if by_hash else [prose(360_000)]
    source.write_text("".join(json.dumps(text) + "\n" for text in texts))
    stages = []
    calm = prepare(
        [str(source)],
        "bpe",
        350,
        tmp_path / "calm",
        shard_tokens=20_000,
        progress=lambda stage, done, total: stages.append(stage),
    )
    n_units = stages.count("encode")
    kept = {}
    for step in (2, n_units // 2, n_units):  # the last one validates
        done = run_python(KILLED, source, tmp_path / "out", step)
        assert done.returncode == -signal.SIGKILL, done.stderr
        (folder,) = (tmp_path / "out").iterdir()
        assert not (folder / "manifest.json").exists()
        shards = {path: path.stat().st_mtime_ns for path in folder.glob("*.bin")}
        assert kept.items() <= shards.items(), "finished shards are not written again"
        kept = shards
    assert kept
    data = prepare([str(source)], "bpe", 350, tmp_path / "out", shard_tokens=20_000)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert contents(data.folder) == contents(calm.folder)


def test_a_shard_that_was_lost_before_the_end_is_written_again(tmp_path):
    source = tmp_path / "t.txt"
    source.write_text(prose(360_000), encoding="utf-8")
    calm = prepare([str(source)], "bpe", 350, tmp_path / "calm", shard_tokens=20_000)
    run_python(KILLED, source, tmp_path / "out", 4)
    (folder,) = (tmp_path / "out").iterdir()
    shards = sorted(folder.glob("*.bin"))
    assert len(shards) > 3
    shards[1].write_bytes(b"short")
    (folder / ".train-00009.bin.x").write_bytes(b"left by a process that was killed")
    data = prepare([str(source)], "bpe", 350, tmp_path / "out", shard_tokens=20_000)
    assert contents(data.folder) == contents(calm.folder)


def test_a_full_disk_is_one_line_and_no_loss(tmp_path):
    pytest.importorskip("resource")
    source = tmp_path / "t.txt"
    source.write_text(prose(30_000), encoding="utf-8")
    code = """
        import resource, sys
        from groundup.base.errors import GroundupError
        from groundup.data import prepare
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
        try:
            prepare([sys.argv[1]], "bytes", 0, sys.argv[2])
        except GroundupError as error:
            print(error)
    """
    done = run_python(code, source, tmp_path / "out", 50_000)
    assert done.stdout.count("\n") == 1, done.stderr
    assert "no room to write" in done.stdout
    assert "train-00000.bin" in done.stdout
    (folder,) = (tmp_path / "out").iterdir()
    assert not [path for path in folder.iterdir() if ".bin" in path.name]
    prepare([str(source)], "bytes", 0, tmp_path / "out")
    calm = prepare([str(source)], "bytes", 0, tmp_path / "calm")
    assert contents(folder) == contents(calm.folder)


@pytest.fixture
def prepared(tmp_path):
    (tmp_path / "t.txt").write_text(prose(2000), encoding="utf-8")
    return prepare([str(tmp_path / "t.txt")], "bytes", 0, tmp_path / "out", shard_tokens=5000)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-2]), "damaged"),
    ],
)
def test_a_damaged_shard_is_named_with_what_to_do(prepared, tmp_path, damage, message):
    damage(prepared.folder / "train-00001.bin")
    again = ([str(tmp_path / "t.txt")], "bytes", 0, tmp_path / "out")
    for attempt in (
        lambda: open_tokens(prepared.folder, "train"),
        lambda: prepare(*again, shard_tokens=5000),
    ):
        with pytest.raises(DataError, match=rf"train-00001.bin: {message}.*remove .* again"):
            attempt()


def test_a_changed_byte_is_found_by_verifying(prepared):
    path = prepared.folder / "val-00000.bin"
    raw = bytearray(path.read_bytes())
    raw[10] ^= 1
    path.write_bytes(raw)
    open_prepared(prepared.folder)
    with pytest.raises(DataError, match=r"val-00000.bin: damaged \(its SHA-256"):
        open_prepared(prepared.folder, verify=True)


@pytest.mark.parametrize(
    "manifest",
    ["", "[]", "{}", '{"format": 1}', '{"format": 9}', '{"format": 1, "dtype": "x"}', "\xff"],
)
def test_a_manifest_that_makes_no_sense_is_named(prepared, manifest):
    (prepared.folder / "manifest.json").write_text(manifest, encoding="latin-1")
    with pytest.raises(DataError, match=r"manifest.json: .*remove"):
        open_prepared(prepared.folder)


def test_another_tokenizer_in_the_folder_is_noticed(prepared, tmp_path):
    assert prepared.tokenizer.kind == "bytes"
    BPE.save(prepared.folder / "tokenizer.json")
    with pytest.raises(DataError, match="not the tokenizer that made these shards"):
        _ = open_prepared(prepared.folder).tokenizer
    with pytest.raises(DataError, match="not a prepared data folder"):
        open_tokens(tmp_path / "nowhere", "val")


def test_two_at_once_do_not_disturb_each_other(tmp_path):
    source = tmp_path / "t.txt"
    source.write_text(prose(60_000), encoding="utf-8")
    results, stages = [], []

    def work(out):
        report = lambda stage, done, total: stages.append(stage)  # noqa: E731
        data = prepare(
            [str(source)], "bytes", 0, tmp_path / out, shard_tokens=10_000, progress=report
        )
        results.append(contents(data.folder))

    threads = [threading.Thread(target=work, args=["out"]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = stages.count("encode")
    work("calm")
    assert results[0] == results[1] == results[2]
    assert stages.count("encode") == 2 * together, "one of the two found it done"


MEASURED = """
    import resource, sys
    from groundup.data import prepare
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    prepare([sys.argv[1]], sys.argv[2], 1000, sys.argv[3])
    print(base >> 10, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.parametrize(
    ("spec", "mib"),
    [("bytes", 60), pytest.param("bpe", 200, marks=pytest.mark.slow)],
)
def test_memory_stays_bounded_on_one_long_line(tmp_path, spec, mib):
    """MiB beyond what importing takes, however long the text: 60 for one of 60 MB, as of 2 GB."""
    pytest.importorskip("resource")
    source = tmp_path / "line.txt"
    piece = prose(10_000).replace("\n", " ").encode()
    with source.open("wb") as file:
        for _ in range(60_000_000 // len(piece) if spec == "bytes" else 200_000_000 // len(piece)):
            file.write(piece)
    done = run_python(MEASURED, source, spec, tmp_path / "out")
    before, peak = map(int, done.stdout.split())
    assert peak - before < mib, done.stderr
