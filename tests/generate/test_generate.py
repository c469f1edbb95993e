"""Cached equals uncached, batched equals single, streamed equals whole; the window moves on."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import nn

from groundup.base.errors import ConfigError, UsageError
from groundup.config import GPTConfig
from groundup.generate import (
    Chat,
    SamplingConfig,
    generate,
    generate_tokens,
    stream,
    window_start,
)
from groundup.generate.windows import CachedReader, PlainReader
from groundup.model import GPT, plain_attention
from groundup.tokenizer import ByteTokenizer, CharTokenizer, Tokenizer

GREEDY: dict[str, Any] = {"temperature": 0.0}
SAMPLED: dict[str, Any] = {"temperature": 1.5, "seed": 5}
FILTERED: dict[str, Any] = {
    "temperature": 1.3,
    "top_k": 20,
    "top_p": 0.95,
    "min_p": 0.01,
    "repetition_penalty": 1.2,
    "seed": 6,
}
SETTINGS = [GREEDY, SAMPLED, FILTERED]
SHAPES: list[dict[str, Any]] = [
    {"context_length": 16, "emb_dim": 32, "n_heads": 4, "n_layers": 2},
    {"context_length": 7, "emb_dim": 24, "n_heads": 3, "n_layers": 3, "qkv_bias": True},
    {"context_length": 1, "emb_dim": 16, "n_heads": 1, "n_layers": 1, "tie_embeddings": True},
    {"context_length": 64, "emb_dim": 16, "n_heads": 2, "n_layers": 1, "drop_rate": 0.3},
]
PROMPTS = ["To be", "O", "Now is the winter of our discontent", "été 🎈"]


class Bytes(ByteTokenizer):
    """Bytes as the 256 first characters of Unicode, so that any output is legible."""

    joins_bytes = False

    def decode(self, ids: Any) -> str:
        return bytes(ids).decode("latin-1")


def random_model(seed: int = 0, **changes: Any) -> GPT:
    """A model in which every tensor is random, so that its tokens are far from ties."""
    generator = torch.Generator().manual_seed(seed)
    model = GPT(GPTConfig(**{"vocab_size": 257, **SHAPES[0], **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return model


def written(model: GPT, prompts: Sequence[Sequence[int]], **settings: Any) -> list[list[int]]:
    ways = {way: settings.pop(way) for way in ("use_cache", "lookup") if way in settings}
    steps = list(generate_tokens(model, prompts, SamplingConfig(**settings), **ways))
    return [[token for token in row if token is not None] for row in zip(*steps, strict=True)]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_cached_equals_uncached_also_past_the_context(
    shape: dict[str, Any], settings: dict[str, Any]
) -> None:
    model = random_model(**shape)
    prompts = [list(p.encode()) for p in PROMPTS]
    count = 2 * shape["context_length"] + 9
    cached = written(model, prompts, max_tokens=count, **settings)
    plain = written(model, prompts, max_tokens=count, use_cache=False, **settings)
    assert cached == plain
    assert [len(row) for row in cached] == [count] * len(prompts)
    assert len({tuple(row[-8:]) for row in cached}) == len(prompts) or settings is GREEDY


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("use_cache", [True, False])
def test_batched_equals_single(settings: dict[str, Any], use_cache: bool) -> None:
    model, tokenizer = random_model(1), Bytes()
    common = {**settings, "max_tokens": 45, "stop": ["a", "b", "c"], "use_cache": use_cache}
    batch = generate(model, tokenizer, PROMPTS, **common)
    for row, prompt in enumerate(PROMPTS):
        common["seed"] = settings.get("seed", 0) + row
        assert generate(model, tokenizer, prompt, **common) == batch[row]
    assert len({len(text) for text in batch}) > 1, "rows should end at different steps"


@pytest.mark.parametrize("settings", SETTINGS)
def test_streamed_equals_whole(settings: dict[str, Any]) -> None:
    model, tokenizer = random_model(2), ByteTokenizer()
    settings = {"max_tokens": 60, **settings}
    for prompt in PROMPTS:
        pieces = list(stream(model, tokenizer, prompt, **settings))
        assert "".join(pieces) == generate(model, tokenizer, prompt, **settings)
        assert all(pieces)


def test_plain_and_fused_attention_write_the_same() -> None:
    fused = random_model(3)
    plain = GPT(fused.config, plain_attention)
    plain.load_state_dict(fused.state_dict())
    prompts = [list(p.encode()) for p in PROMPTS]
    assert written(fused, prompts, max_tokens=30, **GREEDY) == written(
        plain, prompts, max_tokens=30, **GREEDY
    )


def test_greedy_tokens_are_the_argmax_of_the_whole_forward_pass() -> None:
    model = random_model(4).eval()
    tokens = [72, 105]
    (chosen,) = written(model, [tokens], max_tokens=12, **GREEDY)
    for token in chosen:
        assert token == int(model(torch.tensor([tokens]))[0, -1].argmax())
        tokens = [*tokens, token]


@pytest.mark.parametrize("context", [1, 2, 3, 8, 9])
def test_window_drops_the_older_half_when_full(context: int) -> None:
    half = max(1, context // 2)
    start = 0
    for n_tokens in range(1, 6 * context + 7):
        if n_tokens - start > context:
            start += half
        assert window_start(n_tokens, context) == start


def test_window_moves_are_rare() -> None:
    model = random_model(context_length=16)
    calls: list[int] = []
    hook = model.token_embedding.register_forward_hook(lambda m, i, o: calls.append(o.shape[1]))
    written(model, [[1]], max_tokens=16 + 8 * 3, lookup=False, **GREEDY)
    hook.remove()
    assert [n for n in calls if n > 1] == [8, 8, 8]


def test_only_what_is_seen_matters() -> None:
    """Tokens before the window's start change nothing; the one at its start does."""
    model = random_model(context_length=8).eval()
    rows = [[5, 6, 7, 8, 9, 10, 11, 12, 13], [0, 1, 2, 3, 9, 10, 11, 12, 13]]
    changed = [*rows[0][:4], 200, *rows[0][5:]]
    with torch.inference_mode():
        read = CachedReader(model, 3, 8).read([*rows, changed])
        torch.testing.assert_close(read, PlainReader(model).read([*rows, changed]))
    torch.testing.assert_close(read[0], read[1])
    assert (read[0] - read[2]).abs().max() > 0.01


def test_a_row_never_depends_on_its_neighbours() -> None:
    model = random_model(5)
    (first,) = written(model, [[1, 2, 3]], max_tokens=20, **GREEDY)
    for neighbour in ([9], list(range(100, 115)), list(range(50))):
        assert written(model, [[1, 2, 3], neighbour], max_tokens=20, **GREEDY)[0] == first


def test_many_long_prompts_are_read_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(6)
    prompts = [list(range(n, n + 12)) for n in range(5)]
    whole = written(model, prompts, max_tokens=5, **GREEDY)
    monkeypatch.setattr("groundup.generate.windows.TOKENS_AT_ONCE", 25)
    sizes: list[int] = []
    hook = model.token_embedding.register_forward_hook(lambda m, i, o: sizes.append(o.shape[0]))
    assert written(model, prompts, max_tokens=5, **GREEDY) == whole
    hook.remove()
    assert sizes[:3] == [2, 2, 1]


def test_modes_and_random_state_are_left_as_they_were() -> None:
    model = random_model(drop_rate=0.5).train()
    model.blocks[0].eval()
    modes = [module.training for module in model.modules()]
    before = torch.get_rng_state()
    text = generate(model, ByteTokenizer(), "x", max_tokens=8, seed=1)
    assert text == generate(model.eval(), ByteTokenizer(), "x", max_tokens=8, seed=1)
    model.train()
    model.blocks[0].eval()
    unfinished = stream(model, ByteTokenizer(), "x", max_tokens=8, seed=1)
    next(unfinished)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    unfinished.close()  # type: ignore[attr-defined]
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(before, torch.get_rng_state())
    model(torch.tensor([[1, 2]])).sum().backward()


def test_seeds() -> None:
    model, tokenizer = random_model(7), ByteTokenizer()
    settings: dict[str, Any] = {"max_tokens": 20, "temperature": 3.0}
    assert generate(model, tokenizer, "a", seed=1, **settings) == generate(
        model, tokenizer, "a", seed=1, **settings
    )
    assert generate(model, tokenizer, "a", seed=1, **settings) != generate(
        model, tokenizer, "a", seed=2, **settings
    )
    assert generate(model, tokenizer, "a", **settings) != generate(
        model, tokenizer, "a", **settings
    )


class Scripted(GPT):
    """A model that writes the given tokens behind any prompt of `prompt_length` tokens."""

    def __init__(self, script: Sequence[int], prompt_length: int) -> None:
        super().__init__(GPTConfig(**{"vocab_size": 257, **SHAPES[3]}))
        self.lm_head = nn.Linear(257, 257, bias=False)  # type: ignore[assignment]
        nn.init.eye_(self.lm_head.weight)
        self.script = dict(enumerate(script, start=prompt_length - 1))

    def hidden_states(self, tokens: Any, cache: Any = None) -> Any:
        n_new = tokens.shape[1]
        positions = range(64)[cache.positions(n_new)]
        cache.advance(n_new)
        scripted = torch.tensor([self.script.get(position, 0) for position in positions])
        return nn.functional.one_hot(scripted, 257).float().expand(len(tokens), -1, -1)


def scripted(text: Sequence[int], stop: Any = (), **settings: Any) -> str:
    """Return what comes of a model that writes `text`, with a bar between the pieces."""
    model = Scripted(text, len("hi"))
    settings = {"max_tokens": len(text), "temperature": 0, "stop": stop, **settings}
    pieces = list(stream(model, ByteTokenizer(), "hi", **settings))
    assert "".join(pieces) == generate(model, ByteTokenizer(), "hi", **settings)
    return "|".join(pieces)


def test_streaming_never_cuts_a_character() -> None:
    assert scripted("aé🎈b".encode()) == "a|é|🎈|b"
    assert scripted("aé🎈".encode()[:-1]) == "a|é|\ufffd"


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("abcdef", "cd", "a|b"),
        ("abcabd", "abd", "abc"),
        ("aaab", "aab", "a"),
        ("xyzxy", "xyzz", "xyz|xy"),
        ("hello", ["zz", "l"], "h|e"),
        ("abcd", ["abcd", "bc"], "a"),
        ("stop", "stop", ""),
        ("né!é", "é!", "n"),
    ],
)
def test_stop_strings(text: str, stop: Any, expected: str) -> None:
    assert scripted(text.encode(), stop) == expected


def test_end_of_text_ends() -> None:
    assert scripted([*b"ab", 256, *b"cd"]) == "a|b"
    assert scripted([*b"ab", 0xC3, 256, *b"cd"]) == "a|b|\ufffd"
    assert scripted([*b"ab", 256, *b"cd"], stop="bc") == "a|b"


def test_max_tokens() -> None:
    assert scripted(b"abcdef", max_tokens=3) == "a|b|c"
    assert scripted(b"abcdef", max_tokens=0) == ""
    assert generate(random_model(), ByteTokenizer(), ["a", "b"], max_tokens=0) == ["", ""]
    assert generate(random_model(), ByteTokenizer(), []) == []


def test_empty_prompt_starts_from_end_of_text_or_is_explained() -> None:
    model = random_model(vocab_size=257)
    assert written(model, [[256]], max_tokens=6, **GREEDY) == [
        [*generate(model, Bytes(), "", max_tokens=6, **GREEDY).encode("latin-1")]
    ]
    with pytest.raises(UsageError, match="prompt is empty"):
        generate(random_model(vocab_size=3), CharTokenizer.train(["abc"]), "")
    with pytest.raises(UsageError, match="no tokens"):
        next(generate_tokens(model, [[1], []], SamplingConfig()))


def test_tokenizer_smaller_than_the_model_limits_the_choice() -> None:
    tokenizer: Tokenizer = CharTokenizer.train(["abcde"])
    model = random_model(vocab_size=64)
    text = generate(model, tokenizer, "a", max_tokens=50, temperature=5.0, seed=1)
    assert len(text) == 50
    assert set(text) <= set("abcde")


def test_tokenizer_larger_than_the_model_is_refused() -> None:
    with pytest.raises(UsageError, match="has 257 tokens, but the model was made for 64"):
        generate(random_model(vocab_size=64), ByteTokenizer(), "a")


def test_generate_offers_every_setting_with_its_default() -> None:
    parameters = inspect.signature(generate).parameters
    for field in fields(SamplingConfig):
        assert parameters[field.name].default == field.default


def test_stream_refuses_bad_settings_at_once() -> None:
    with pytest.raises(ConfigError, match="temperature"):
        stream(random_model(), ByteTokenizer(), "a", temperature=-1)


def test_chat_continues_one_text() -> None:
    model, tokenizer = random_model(8), Bytes()
    chat = Chat(model, tokenizer, max_tokens=5, seed=3, temperature=2.0)
    first = "".join(chat.say("Hello"))
    assert chat.text == "Hello" + first
    first_turn = chat.text
    second = "".join(chat.say("World"))
    assert chat.text == f"{first_turn}\nWorld{second}"
    assert second == generate(
        model, tokenizer, f"{first_turn}\nWorld", max_tokens=5, seed=4, temperature=2.0
    )
    before = chat.text
    went_on = "".join(chat.say(""))
    assert chat.text == before + went_on
    interrupted = chat.say("Again")
    piece = next(interrupted)
    interrupted.close()  # type: ignore[attr-defined]
    assert chat.text.endswith(f"Again{piece}")


def test_a_compiled_model_is_not_compiled_for_writing() -> None:
    """Each step has another shape: compiling for it would take minutes."""
    program = """
import torch
from groundup.config import GPTConfig
from groundup.generate import SamplingConfig, generate_tokens
from groundup.model import GPT
model = GPT(GPTConfig(vocab_size=9, context_length=8, emb_dim=8, n_heads=2, n_layers=1))
calls = []
def backend(graph, inputs):
    calls.append(graph)
    return graph
for block in model.blocks:
    block.compile(backend=backend)
print(len(list(generate_tokens(model, [[1]], SamplingConfig(max_tokens=20)))), len(calls))
model(torch.tensor([[1, 2]]))
print(len(calls))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert re.fullmatch(r"20 0\n1\n", done.stdout), done.stderr
