"""Preparing that is killed, out of disk, damaged, or done twice at once."""

import json
import signal
import threading
from pathlib import Path

import pytest

from groundup.base.errors import DataError
from groundup.data import open_prepared, open_tokens, prepare
from tests.data.preparing import BPE, contents, prose, run_python

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
    kept: dict[Path, int] = {}
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
        results.append(data.folder)

    threads = [threading.Thread(target=work, args=["out"]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = stages.count("encode")
    work("calm")
    assert results[0] == results[1]
    # Read only now: the lock names its holder while there is one.
    assert contents(results[0]) == contents(results[2])
    assert stages.count("encode") == 2 * together, "one of the two found it done"


MEASURED = """
    import sys
    import torch
    from groundup.data import prepare
    from groundup.device.machine import peak_memory_mib
    base = peak_memory_mib(torch.device("cpu"))
    prepare([sys.argv[1]], sys.argv[2], 1000, sys.argv[3])
    print(int(base), int(peak_memory_mib(torch.device("cpu"))))
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
