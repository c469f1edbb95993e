import hashlib
import json
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from groundup.base import hardware
from groundup.base.errors import DataError, TokenizerError, UsageError
from groundup.data import open_prepared, prepare
from tests.data.preparing import BPE, contents, prose, whole


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


def test_every_pass_takes_the_same_field_of_a_record(tmp_path):
    texts = [prose(40, seed=n) for n in range(30)]
    records = [record for text in texts for record in ({"body": "Not this."}, {"text": text})]
    lines = [json.dumps(record) + "\n" for record in records]
    (tmp_path / "late.jsonl").write_text("".join(lines))
    (tmp_path / "plain.jsonl").write_text("".join(lines[1::2]))
    late, plain = (
        prepare([str(tmp_path / name)], "chars", 0, tmp_path / "out")
        for name in ("late.jsonl", "plain.jsonl")
    )
    assert late.folder == plain.folder
    assert "the text is the field 'text', in 30 of 60 records" in late.notices[0]
    assert "skipped records without a text: 30 " in late.notices[-1]


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


def test_as_many_threads_encode_as_the_container_allows(tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    monkeypatch.setattr(hardware, "CGROUPS", tmp_path)
    pools = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers):
            pools.append(workers)
            super().__init__(workers)

    monkeypatch.setattr(sys.modules["groundup.data.prepare"], "ThreadPoolExecutor", Pool)
    (tmp_path / "text.txt").write_text(prose(3000), encoding="utf-8")
    prepare([str(tmp_path / "text.txt")], "bytes", 0, tmp_path / "out")
    assert pools == [1]


def test_a_second_call_reads_the_text_once_and_encodes_nothing(tmp_path, monkeypatch):
    (tmp_path / "t.txt").write_text(prose(2000), encoding="utf-8")
    arguments = ([str(tmp_path / "t.txt")], "bpe", 300, tmp_path / "out")
    first = prepare(*arguments)

    def times():
        files = (path for path in first.folder.iterdir() if path.name != "lock")
        return {path: path.stat().st_mtime_ns for path in files}

    before = times()
    stages = set()
    again = prepare(*arguments, progress=lambda stage, done, total: stages.add(stage))
    assert stages == {"scan"}
    assert again.manifest == first.manifest
    assert times() == before
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


def test_the_end_of_a_text_decides_about_the_tokens_and_is_kept(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "ab{n}"}}\n' for n in range(30)))
    source = [str(tmp_path / "a.jsonl")]

    def prepared(spec, **options):
        return prepare(source, str(spec), 300, tmp_path / "data", **options)

    glued = prepared("chars")
    assert glued.tokenizer.end_of_text is None
    assert "30 documents follow each other with no token between them" in glued.notices[-1]
    ended = prepared("chars", end_of_text="a")
    assert not any("no token between" in notice for notice in ended.notices)
    assert ended.folder != glued.folder
    end = ended.tokenizer.end_of_text
    assert open_prepared(ended.folder).tokenizer.end_of_text == end
    assert ended.tokenizer.encode("a") == [end]
    assert whole(ended.folder, "train")[-1] == end
    assert prepared("chars", end_of_text="a").folder == ended.folder
    assert prepared("chars", end_of_text="b").folder != ended.folder
    known = prepared(glued.folder / "tokenizer.json", known_ends=[2])
    assert known.tokenizer.end_of_text == 2
    assert known.folder not in (glued.folder, ended.folder)


def test_one_document_needs_no_end(tmp_path):
    (tmp_path / "a.txt").write_text("abc" * 30)
    assert prepare([str(tmp_path / "a.txt")], "chars", 0, tmp_path / "data").notices == ()


def test_an_end_that_is_no_token_is_refused_before_the_text_is_read(tmp_path):
    with pytest.raises(UsageError, match="--end-of-text <stop>: no token"):
        prepare(["nowhere.txt"], "bytes", 0, tmp_path, end_of_text="<stop>")
