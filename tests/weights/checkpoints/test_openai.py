"""OpenAI's folder of GPT-2, written once by TensorFlow, against what TensorFlow computed of it."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Tokenizer

from groundup.base.errors import GroundupError, RunError, TokenizerError
from groundup.weights import import_model
from groundup.weights.checkpoints.tensorflow import read_tensors
from groundup.weights.formats import open_pretrained
from tests.weights.checkpoints.helpers import TOLERANCE, filled

DATA = Path(__file__).parent / "data" / "gpt2"
INDEX = "model.ckpt.index"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA, tmp_path / "124M"))


@torch.no_grad()
def test_logits_are_those_of_tensorflow() -> None:
    found = open_pretrained(DATA, False)
    expected = torch.from_numpy(np.load(DATA / "logits.npy"))
    tokens = torch.arange(12)[None] * 7919 % 264
    ours = filled(found)(tokens)[0]
    torch.testing.assert_close(ours, expected, atol=TOLERANCE, rtol=0)
    assert found.config.tie_embeddings


def test_its_tokenizer_is_that_of_transformers(folder: Path) -> None:
    tokenizer = open_pretrained(folder, False).tokenizer
    assert tokenizer is not None
    shutil.copy(folder / "encoder.json", folder / "vocab.json")
    shutil.copy(folder / "vocab.bpe", folder / "merges.txt")
    theirs = GPT2Tokenizer.from_pretrained(folder)
    for text in ("the inn", " an the  then\n\nhe'll é", "in 1999 <|endoftext|>"):
        assert tokenizer.encode(text.replace("<|endoftext|>", "")) == theirs.encode(
            text.replace("<|endoftext|>", "")
        )
    assert tokenizer.special_tokens == {"<|endoftext|>": 263}


def test_it_becomes_a_run(folder: Path, tmp_path: Path) -> None:
    done = import_model(folder, tmp_path / "run")
    assert done.difference == 0
    assert "model.ckpt.data-00000-of-00001" in (tmp_path / "run" / "run.toml").read_text()


def test_of_several_checkpoints_the_named_one_is_read(folder: Path) -> None:
    for name in (INDEX, "model.ckpt.data-00000-of-00001"):
        shutil.copy(folder / name, folder / name.replace("model.ckpt", "model-500"))
    (folder / "model.ckpt.data-00000-of-00001").unlink()
    with pytest.raises(RunError, match="which is not beside it"):
        open_pretrained(folder, False)
    (folder / "checkpoint").write_text('model_checkpoint_path: "/home/me/model-500"\n')
    assert open_pretrained(folder, False).config.n_layers == 2
    (folder / "checkpoint").write_text('model_checkpoint_path: "model-999"\n')
    with pytest.raises(RunError, match=r"2 files \*\.index, and none that the file checkpoint"):
        open_pretrained(folder, False)


def retell(folder: Path, **changes: object) -> None:
    values = json.loads((folder / "hparams.json").read_text()) | changes
    kept = {key: value for key, value in values.items() if value is not None}
    (folder / "hparams.json").write_text(json.dumps(kept))


WRONG: list[tuple[Callable[[Path], object], str]] = [
    (lambda at: retell(at, n_layer=3), r"missing transformer\.h\.2\.ln_1\.weight"),
    (lambda at: retell(at, n_layer=10**9), "hparams.json: n_layers = 1000000000"),
    (lambda at: retell(at, n_head=None), "no n_head in it"),
    (lambda at: retell(at, n_head=5), "n_heads = 5 does not divide emb_dim = 6"),
    (lambda at: retell(at, n_vocab="264"), "vocab_size = '264'"),
    (lambda at: retell(at, n_vocab=300), r"wte\.weight is \(264, 6\), expected \(300, 6\)"),
    (lambda at: (at / INDEX).unlink(), r"0 files \*\.index"),
    (lambda at: (at / INDEX).write_bytes(b""), "its end is not that of one"),
    (lambda at: (at / "vocab.bpe").write_text("a b c\n"), "merge 1 is a b c, expected two tokens"),
    (lambda at: (at / "encoder.json").write_text("[]"), "expected an object of tokens and ids"),
    (lambda at: (at / "encoder.json").write_text("{"), "encoder.json"),
    (
        lambda at: (at / "model.ckpt.data-00000-of-00001").write_bytes(b"\0" * 100),
        "is said to end at byte",
    ),
]


@pytest.mark.parametrize(("damage", "said"), WRONG)
def test_what_is_damaged_is_refused(
    folder: Path, damage: Callable[[Path], object], said: str
) -> None:
    damage(folder)
    with pytest.raises((RunError, TokenizerError), match=said) as error:
        open_pretrained(folder, False)
    assert "\n" not in str(error.value)


def test_no_changed_byte_of_an_index_is_a_traceback(folder: Path) -> None:
    raw = (folder / INDEX).read_bytes()
    begun = time.process_time()
    for place in range(0, len(raw), 3):
        for value in (0, 0xFF, raw[place] ^ 1):
            changed = raw[:place] + bytes([value]) + raw[place + 1 :]
            (folder / INDEX).write_bytes(changed)
            with contextlib.suppress(GroundupError):  # and nothing else
                read_tensors(folder / INDEX)
    for length in range(0, len(raw), 7):
        (folder / INDEX).write_bytes(raw[:length])
        with pytest.raises(RunError):
            read_tensors(folder / INDEX)
    assert time.process_time() - begun < 30


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def table(blocks: list[list[tuple[bytes, bytes]]]) -> bytes:
    """Return a table of several blocks, as TensorFlow writes one that is longer than 256 KiB."""
    raw = b""
    handles: list[tuple[bytes, bytes]] = []
    for entries in [*blocks, None]:
        content = b""
        for key, value in handles if entries is None else entries:
            content += b"\0" + varint(len(key)) + varint(len(value)) + key + value
        content += b"\0\0\0\0" + (1).to_bytes(4, "little")
        place = varint(len(raw)) + varint(len(content))
        raw += content + b"\0" + b"crc!"
        if entries is not None:
            handles.append((entries[-1][0], place))
    footer = (varint(0) + varint(0) + place).ljust(40, b"\0")
    return raw + footer + bytes.fromhex("57fb808b247547db")


def entry(size: int, offset: int, dtype: int = 1) -> bytes:
    dimension = b"\x08" + varint(size)
    shape = b"\x12" + varint(len(dimension)) + dimension
    length = b"\x28" + varint(4 * size)
    return (
        b"\x08"
        + bytes([dtype])
        + b"\x12"
        + varint(len(shape))
        + shape
        + b"\x20"
        + (varint(offset) + length)
    )


def test_a_table_of_several_blocks(tmp_path: Path) -> None:
    header = b"\x08\x01"
    index = tmp_path / "model.index"
    index.write_bytes(table([[(b"", header), (b"a", entry(2, 0))], [(b"b", entry(3, 8))]]))
    numbers = np.arange(5, dtype="<f4")
    (tmp_path / "model.data-00000-of-00001").write_bytes(numbers.tobytes())
    found = read_tensors(index)
    assert {name: one.read().tolist() for name, one in found.items()} == {
        "a": [0, 1],
        "b": [2, 3, 4],
    }
    index.write_bytes(table([[(b"", header), (b"a", entry(2, 0, dtype=9))]]))
    with pytest.raises(RunError, match="a is no plain tensor of 32-bit"):
        read_tensors(index)
    index.write_bytes(table([[(b"", header), (b"a", entry(1 << 60, 0))]]))
    with pytest.raises(RunError, match="a is said to end at byte 4,611,686,018,427,387,904"):
        read_tensors(index)
