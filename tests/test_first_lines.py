"""What newcomers type first: it works, or one line says what to write instead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

BEGIN = """
import numpy as np
import torch
from pathlib import Path
import groundup
from groundup import *
from groundup.data import Batches, TokenSplit
from groundup.generate import generate, generate_tokens, stream
from groundup.train import Listener, train

text = "the cat sat on the mat. the dog sat on the log. " * 20
Path("story.txt").write_text(text)
tokenizer = CharTokenizer.train([text])
bpe = BPETokenizer.train([text], 300)
fields = dict(vocab_size=tokenizer.vocab_size, context_length=16, emb_dim=32, n_heads=2, n_layers=1)
config = GPTConfig(**fields)
model = GPT(config)
ids = torch.tensor([[1, 2, 3]])
short = dict(steps=1, show=False, sample_tokens=2)
"""

CHILD = """
import contextlib, io, json, sys
begin, lines = json.load(sys.stdin)
space, outcomes = {}, []
exec(begin, space)
for line in lines:
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(line, dict(space))
            outcomes.append(None)
        except Exception as error:
            kinds = [kind.__name__ for kind in type(error).__mro__]
            outcomes.append([kinds, str(error)])
print(json.dumps(outcomes))
"""


class Row(NamedTuple):
    line: str
    error: str = ""
    says: str = ""


GIVES = [  # a line, the error it raises, and what that says
    # a model
    Row("GPT(fields)", "TypeError", "GPT of a dict: expected a GPTConfig; write GPT(GPTConfig(**"),
    Row("GPT('pico')", "TypeError", "write GPT(preset('pico'))"),
    Row("GPT(GPTConfig)", "TypeError", "GPT of a type: expected a GPTConfig"),
    Row("GPT()", "TypeError", "config"),
    Row("GPT(model.config, parts={})", "TypeError", "parts are a dict: expected Parts; write"),
    Row("GPT(GPTConfig(norm='rmsnrom'))", "ConfigError", "norm = 'rmsnrom': expected one of"),
    Row("GPT(**fields)", "TypeError", "vocab_size"),
    Row("model([1, 2, 3])", "TypeError", "tokens are a list: expected an integer tensor (B, T)"),
    Row("model('the cat')", "TypeError", "generate(model, tokenizer, text) for a text"),
    Row("model(5)", "TypeError", "tokens are a int"),
    Row("model(np.array([[1, 2]]))", "TypeError", "tokens are a ndarray"),
    Row("model(torch.tensor([1, 2, 3]))", "TypeError", "expected (B, T); write tokens[None]"),
    Row("model(ids[None])", "TypeError", "(1, 1, 3): expected (B, T)"),
    Row("model(torch.tensor(1))", "TypeError", "the shape (): expected (B, T)"),
    Row("model(ids.float())", "TypeError", "expected whole numbers; write tokens.long()"),
    Row("model(ids > 1)", "TypeError", "tokens are torch.bool"),
    Row("model(ids.to(torch.uint8))", "TypeError", "tokens are torch.uint8"),
    Row("model(ids + 99)", "IndexError", "token id 100: expected 0 to 13"),
    Row("model(-ids)", "IndexError", "token id -1: expected 0 to 13"),
    Row("model(torch.ones(1, 17, dtype=int))", "ValueError", "17 tokens given, but the model sees"),
    Row("model(ids[:, :0])", "ValueError", "0 tokens given, but the model sees at least 1"),
    Row("model.generate('the')", "AttributeError", "generate"),
    # settings
    Row("GPTConfig(n_layers=3.0)", "ConfigError", "n_layers = 3.0: expected int; write 3"),
    Row("GPTConfig(n_layers='3')", "ConfigError", "n_layers = '3': expected int; write 3"),
    Row("GPTConfig(n_layers=True)", "ConfigError", "n_layers = True: expected int"),
    Row("GPTConfig(n_layers=2.5)", "ConfigError", "n_layers = 2.5: expected int"),
    Row("GPTConfig(n_layers=None)", "ConfigError", "n_layers = None: expected int"),
    Row("GPTConfig(n_layers=[3])", "ConfigError", "n_layers = [3]: expected int"),
    Row("GPTConfig(n_layers=10**30)", "ConfigError", "at most 64 bits"),
    Row("GPTConfig(drop_rate='0.1')", "ConfigError", "expected float; write 0.1"),
    Row("GPTConfig(qkv_bias='no')", "ConfigError", "qkv_bias = 'no': expected bool"),
    Row("GPTConfig(qkv_bias=1)", "ConfigError", "qkv_bias = 1: expected bool"),
    Row("GPTConfig(norm=5)", "ConfigError", "norm = 5: expected str"),
    Row("GPTConfig(emb_dim=100, n_heads=3)", "ConfigError", "3 does not divide emb_dim = 100"),
    Row("GPTConfig(fields)", "TypeError", "takes names only: write GPTConfig(**fields)"),
    Row("GPTConfig(n_head=3)", "ConfigError", "did you mean 'n_heads'?"),
    Row("GPTConfig(hidden_size=64)", "ConfigError", "did you mean 'emb_dim'?"),
    Row("TrainConfig(lr=0.1)", "ConfigError", "did you mean 'learning_rate'?"),
    Row("config.replace(n_layer=3)", "ConfigError", "did you mean 'n_layers'?"),
    Row("config.replace(n_layers=3.0)", "ConfigError", "expected int; write 3"),
    Row("TrainConfig(steps=3.0)", "ConfigError", "steps = 3.0: expected int; write 3"),
    Row("TrainConfig(steps='3')", "ConfigError", "steps = '3': expected int; write 3"),
    Row("TrainConfig(steps=True)", "ConfigError", "steps = True: expected int"),
    Row("TrainConfig(learning_rate='1e-3')", "ConfigError", "expected float; write 0.001"),
    Row("preset('gpt2')", "ConfigError", "unknown preset 'gpt2'; did you mean 'gpt2-124m'?"),
    Row("preset('nan0')", "ConfigError", "did you mean 'nano'?"),
    Row("preset()", "TypeError", "name"),
    Row("preset(5)", "ConfigError", "preset 5: expected a name, such as preset('nano')"),
    Row("preset('pico', layers=3)", "ConfigError", "did you mean 'n_layers'?"),
    # tokenizers
    Row("BPETokenizer.train(text, 300)", "TypeError", "no list of texts; write a list around it"),
    Row("CharTokenizer.train(text)", "TypeError", "no list of texts; write a list around it"),
    Row("BPETokenizer.train(Path('story.txt'), 300)", "TypeError", "is no list of texts"),
    Row("BPETokenizer.train(['story.txt'], 300)", "UsageError", "the name of a file, not its text"),
    Row("CharTokenizer.train([Path('story.txt')])", "TypeError", "write path.read_text('utf-8')"),
    Row("BPETokenizer.train([b'the'], 300)", "TypeError", "write text.decode('utf-8')"),
    Row("BPETokenizer.train([1, 2], 300)", "TypeError", "1 (int) is no text"),
    Row("BPETokenizer.train(5, 300)", "TypeError", "5 (int) is no list of texts"),
    Row("BPETokenizer.train([text])", "TypeError", "vocab_size"),
    Row("BPETokenizer.train([text], 300.0)", "ConfigError", "vocab_size = 300.0: expected int"),
    Row("BPETokenizer.train([text], 100)", "UsageError", "at least 257 ids"),
    Row("CharTokenizer(text)", "TokenizerError", "CharTokenizer.train([text])"),
    Row("CharTokenizer(['a', 'b'])", "TypeError", "is no text"),
    Row("tokenizer.encode(b'the')", "TypeError", "b'the' (bytes) is no text, which is a str"),
    Row("tokenizer.encode(['the', 'cat'])", "TypeError", "join the texts into one"),
    Row("bpe.encode(Path('story.txt'))", "TypeError", "write path.read_text('utf-8')"),
    Row("bpe.encode(None)", "TypeError", "None (NoneType) is no text"),
    Row("ByteTokenizer().encode(5)", "TypeError", "5 (int) is no text"),
    Row("tokenizer.decode('the')", "TypeError", "'the' (str) is no list of token ids"),
    Row("tokenizer.decode(5)", "TypeError", "5 (int) is no list of token ids; write such as [5]"),
    Row("tokenizer.decode(None)", "TypeError", "None (NoneType) is no list of token ids"),
    Row("tokenizer.decode(['t', 'h'])", "TypeError", "token ids are whole numbers"),
    Row("tokenizer.decode([1.5])", "TypeError", "token ids are whole numbers"),
    Row("tokenizer.decode(ids)", "TypeError", "token ids of shape (1, 3): expected one row"),
    Row("tokenizer.decode(torch.tensor(1))", "TypeError", "token ids of shape ()"),
    Row("tokenizer.decode(model(ids))", "TypeError", "token ids of shape (1, 3, 14)"),
    Row("tokenizer.decode([99])", "TokenizerError", "token id 99: expected 0 to 13"),
    # writing
    Row("generate(tokenizer, model, 'the')", "TypeError", "a CharTokenizer and a GPT: expected"),
    Row("generate(model, 'the', tokenizer)", "TypeError", "write generate(model, tokenizer, ...)"),
    Row("generate(model, tokenizer, 5)", "TypeError", "generate: 5 (int) is no text"),
    Row("generate(model, tokenizer, None)", "TypeError", "generate: None (NoneType) is no text"),
    Row("generate(model, tokenizer, [1, 2])", "TypeError", "generate: 1 (int) is no text"),
    Row("generate(model, tokenizer, ids)", "TypeError", "generate: "),
    Row("generate(model, tokenizer)", "TypeError", "prompt"),
    Row("generate('runs/mine', tokenizer, 'the')", "TypeError", "a str and a CharTokenizer"),
    Row("generate(model, bpe, 'the')", "UsageError", "the model was made for 14"),
    Row("generate(model, tokenizer, 'the', max_tokens='5')", "ConfigError", "int; write 5"),
    Row("generate(model, tokenizer, 'the', max_tokens=5.0)", "ConfigError", "int; write 5"),
    Row("generate(model, tokenizer, 'the', temperature='hot')", "ConfigError", "expected float"),
    Row("generate(model, tokenizer, 'the', temperature=-1)", "ConfigError", "0 (greedy) or more"),
    Row("generate(model, tokenizer, 'the', stop=5)", "ConfigError", "stop = 5: expected a list"),
    Row("generate(model, tokenizer, 'the', seed=1.5)", "ConfigError", "seed = 1.5: expected int"),
    Row("stream(tokenizer, model, 'the')", "TypeError", "write stream(model, tokenizer, ...)"),
    # training
    Row("train(tokenizer, model, text)", "TypeError", "write train(model, tokenizer, ...)"),
    Row("train(model, text, tokenizer)", "TypeError", "train of a GPT and a str"),
    Row("train(config, tokenizer, text)", "TypeError", "train of a GPTConfig and a CharTokenizer"),
    Row("train(model, bpe, text, **short)", "UsageError", "make the model with vocab_size="),
    Row("train(model, tokenizer, [text], **short)", "TypeError", "join the texts into one"),
    Row("train(model, tokenizer, Path('story.txt'))", "TypeError", "write path.read_text('utf-8')"),
    Row("train(model, tokenizer, 'story.txt')", "UsageError", "the name of a file, not its text"),
    Row("train(model, tokenizer, tokenizer.encode(text))", "TypeError", "is no text"),
    Row("train(model, tokenizer, '')", "DataError", "the text has 0 tokens"),
    Row("train(model, tokenizer, 'the')", "DataError", "give more text or a smaller"),
    Row("train(model, tokenizer, text, learning_rat=1)", "ConfigError", "mean 'learning_rate'?"),
    Row("train(model, tokenizer, text, steps=2.0)", "ConfigError", "expected int; write 2"),
    Row("train(model, tokenizer, text, epochs='2')", "UsageError", "a positive number of passes"),
    Row("train(model, tokenizer, text, epochs=0)", "UsageError", "a positive number of passes"),
    Row("train(model, tokenizer, text, epochs=1, steps=5)", "UsageError", "give one of them"),
    Row("train(model, tokenizer, text, TrainConfig())", "TypeError", "positional"),
    Row("train(model, tokenizer, text, listeners=[print])", "TypeError", "derived from Listener"),
    Row("train(model, tokenizer, text, listeners=Listener())", "TypeError", "expected a list"),
    Row("train(model.requires_grad_(False), tokenizer, text)", "UsageError", "requires_grad_()"),
    Row("Batches([1, 2, 3], 2, 1, 1)", "TypeError", "TokenSplit.from_array"),
    # runs
    Row("load('nope')", "RunError", "nope is not a run folder"),
    Row("load(Path('nope'))", "RunError", "nope is not a run folder"),
    Row("load('story.txt')", "RunError", "'groundup import story.txt' makes one"),
    Row("load(5)", "TypeError", "int"),
    Row("load('runs/saved', device='gpu')", "UsageError", "device = 'gpu': expected cpu, cuda or"),
    Row("load()", "TypeError", "path"),
    Row("load_tokenizer('nope')", "TokenizerError", "nope"),
    Row("save(model, 'runs/mine')", "TypeError", "path"),
    Row("save(tokenizer, model, 'runs/mine')", "TypeError", "write save(model, tokenizer, ...)"),
    Row("save(model, bpe, 'runs/mine')", "UsageError", "the model was made for 14"),
    # names
    Row("groundup.GTP", "AttributeError", "no attribute 'GTP'; did you mean 'GPT'?"),
    Row("from groundup import Gpt", "ImportError", "Gpt"),
    Row("groundup.train(model, tokenizer, text)", "TypeError", "from groundup.train import train"),
    Row("groundup.generate(model)", "TypeError", "from groundup.generate import generate"),
]

WORKS = [
    "GPT(GPTConfig(**fields))",
    "GPT(preset('pico', n_layers=1))(ids)",
    "model(ids.int())",
    "model(torch.tensor([tokenizer.encode('the')]))",
    "GPTConfig(n_layers=np.int64(3), drop_rate=0)",
    "GPTConfig(vocab_size=ids.numpy().max() + 1)",
    "TrainConfig(learning_rate=np.float32(0.001), weight_decay=0)",
    "BPETokenizer.train((part for part in [text, text]), 300)",
    "CharTokenizer.train({text})",
    "assert tokenizer.decode(torch.tensor(tokenizer.encode('the'))) == 'the'",
    "assert tokenizer.decode(np.array(tokenizer.encode('the'))) == 'the'",
    "assert tokenizer.decode(tuple(tokenizer.encode('the'))) == 'the'",
    "assert tokenizer.decode(list(torch.tensor(tokenizer.encode('the')))) == 'the'",
    "assert bpe.decode([]) == ''",
    "tokenizer.decode(model(ids).argmax(-1)[0])",
    "generate(model, tokenizer, ['the', 'a'], max_tokens=2)",
    "generate(model, tokenizer, ('the', 'a'), max_tokens=2)",
    "list(stream(model, tokenizer, 'the', max_tokens=2))",
    "train(model, tokenizer, text, **short, listeners=[Listener()])",
    "train(model, tokenizer, Path('story.txt').read_text(), **short)",
    "train(model, tokenizer, text, epochs=0.1, show=False, sample_tokens=2)",
    "save(model, tokenizer, 'runs/saved')",
    "run = load(Path('runs/saved')); generate(run.model, run.tokenizer, 'the', max_tokens=2)",
    "load('runs/saved', checkpoint=0)",
    "train(load('runs/saved').model, tokenizer, text, **short)",
    "from groundup import train, generate; train.train, generate.generate",
    "groundup.data.prepare, groundup.plan.make_plan",
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each line comes to, all of them in one process, which no test has touched."""
    lines = [*WORKS, *(row.line for row in GIVES)]
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps([BEGIN, lines]),
        cwd=tmp_path_factory.mktemp("notebook"),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(lines, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("line", WORKS)
def test_it_works(outcomes: dict[str, Any], line: str) -> None:
    assert outcomes[line] is None


@pytest.mark.parametrize("row", GIVES, ids=lambda row: row.line)
def test_one_line_says_what_to_write(outcomes: dict[str, Any], row: Row) -> None:
    assert outcomes[row.line] is not None, "nothing was raised"
    kinds, message = outcomes[row.line]
    assert row.error in kinds, f"{kinds[0]}: {message}"
    assert row.says in message
    assert "\n" not in message
    assert len(message) < 400
