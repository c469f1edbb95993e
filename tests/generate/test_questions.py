"""Replies in batches equal those one by one; what ends and precedes them, what is told."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from groundup.base.errors import UsageError
from groundup.config import GPTConfig
from groundup.generate import (
    CHATML,
    CHATML_TOKENS,
    ChatTemplate,
    SamplingConfig,
    generate,
    stream_from,
    write_replies,
)
from groundup.generate import windows as reading
from groundup.generate.template import plain_dialogue
from groundup.model import GPT
from groundup.tokenizer import ByteTokenizer, CharTokenizer, with_special_tokens
from tests.generate.templates import ALTERNATING

TOKENIZER = with_special_tokens(ByteTokenizer(), CHATML_TOKENS)
TEMPLATE = ChatTemplate(CHATML)
END = TOKENIZER.special_tokens["<|im_end|>"]
STOPS = list(range(20))
"""Bytes that end a reply too, so that random models end some."""
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"qkv_bias": True},
    "rope": {
        "position": "rope",
        "norm": "rmsnorm",
        "feed_forward": "swiglu",
        "n_kv_heads": 2,
        "bias": False,
    },
    "windows": {"position": "rope", "window": 24, "window_pattern": "LLG"},
}
Dialogue = list[dict[str, str]]


def question(text: str, system: str = "") -> Dialogue:
    told = [{"role": "system", "content": system}] if system else []
    return [*told, {"role": "user", "content": text}]


def example(text: str, reply: str, system: str = "") -> Dialogue:
    return [*question(text, system), {"role": "assistant", "content": reply}]


WORDS = [
    "Who?",
    "Sort: pear, fig",
    "x" * 50,
    "été 🎈",
    "What <|im_end|> means",
    "a",
    "b\n\nb",
    "Who?",
]
QUESTIONS = [question(word, "Be brief." if n % 3 == 0 else "") for n, word in enumerate(WORDS)]
EXAMPLES = [example("1+1", "2"), example("up", "UP", "Be long.")]


def random_model(shape: str, context_length: int = 160, seed: int = 2) -> GPT:
    """A model in which every tensor is random, so that its tokens are far from ties."""
    generator = torch.Generator().manual_seed(seed)
    sizes: dict[str, Any] = {"emb_dim": 32, "n_heads": 4, "n_layers": 3}
    vocab_size = TOKENIZER.vocab_size + 3  # padded, as many are
    model = GPT(
        GPTConfig(vocab_size=vocab_size, context_length=context_length, **sizes, **SHAPES[shape])
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
        model.lm_head.weight[-3:] *= 9
    return model


def one_by_one(model: GPT, dialogues: list[Dialogue], max_tokens: int) -> list[str]:
    """What is written behind each alone, without a cache."""
    plain = [plain_dialogue(dialogue, TOKENIZER) for dialogue in dialogues]
    texts = TEMPLATE.render_all(plain, add_generation_prompt=True)
    sampling = SamplingConfig(max_tokens=max_tokens, temperature=0.0, stop_tokens=[END, *STOPS])
    plainly = {"use_cache": False, "lookup": False}
    return [
        "".join(stream_from(model, TOKENIZER, TOKENIZER.encode_markup(text), sampling, **plainly))
        for text in texts
    ]


@pytest.mark.parametrize("batch_tokens", [1, 400])
@pytest.mark.parametrize("shape", SHAPES)
def test_replies_in_batches_are_those_one_by_one(
    shape: str, batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WORTH_SHARING", 1)
    model = random_model(shape, seed=1 if shape == "windows" else 2)  # so that some replies end
    found = write_replies(
        model,
        TOKENIZER,
        TEMPLATE,
        QUESTIONS,
        max_tokens=20,
        batch_tokens=batch_tokens,
        stop_tokens=STOPS,
    )
    assert [reply.text for reply in found] == one_by_one(model, QUESTIONS, 20)
    for reply in found:
        assert reply.ended == (reply.ids[-1] in (END, TOKENIZER.end_of_text, *STOPS))
        assert reply.ended or len(reply.ids) == 20
    assert {reply.ended for reply in found} == {True, False}
    assert len({len(reply.ids) for reply in found}) > 2


def test_a_text_without_tokens_of_its_own_is_continued_as_generate_does() -> None:
    """Held to `generate` itself, with a template that writes no special token."""
    template = ChatTemplate("{% for m in messages %}{{ m.content }}\n{% endfor %}")
    model = random_model("rope")
    found = write_replies(
        model, TOKENIZER, template, QUESTIONS[1:4], max_tokens=9, stop_tokens=[END]
    )
    for dialogue, reply in zip(QUESTIONS[1:4], found, strict=True):
        text = template.render(dialogue)
        settings: dict[str, Any] = {"temperature": 0.0, "max_tokens": 9, "stop_tokens": [END]}
        assert reply.text == generate(model, TOKENIZER, text, **settings)


@pytest.mark.parametrize("shape", SHAPES)
def test_examples_are_earlier_turns_behind_the_system_message(shape: str) -> None:
    model = random_model(shape, context_length=400)
    asked = [question("Who?", "Be brief."), question("When?", "Be brief."), question("a")]
    found = write_replies(
        model, TOKENIZER, TEMPLATE, asked, max_tokens=12, examples=EXAMPLES, stop_tokens=STOPS
    )
    turns = [*EXAMPLES[0], *EXAMPLES[1][1:]]
    whole = [[*d[:-1], *turns, d[-1]] for d in asked]
    assert [r.text for r in found] == one_by_one(model, whole, 12)


def test_what_all_begin_with_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, read = random_model("rope", context_length=400), [0]
    forward = model.hidden_states

    def counting(tokens: torch.Tensor, *rest: Any) -> torch.Tensor:
        read[0] += tokens.numel()
        return forward(tokens, *rest)

    monkeypatch.setattr(model, "hidden_states", counting)
    asked = [question(c) for c in "abcdefgh"]
    write_replies(model, TOKENIZER, TEMPLATE, asked, max_tokens=1, examples=EXAMPLES)
    prompt = TEMPLATE.encode(TOKENIZER, [*EXAMPLES[0], *EXAMPLES[1][1:], *asked[0]])
    own = len(TOKENIZER.encode("a<|im_end|>")) + len(prompt[prompt.index(END) :])
    assert read[0] < len(prompt) + 8 * own
    assert read[0] < 8 * len(prompt) / 2


def test_a_reply_that_ended_costs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = random_model("gpt2"), []
    forward = model.hidden_states

    def counting(tokens: torch.Tensor, *rest: Any) -> torch.Tensor:
        rows.append(tuple(tokens.shape))
        return forward(tokens, *rest)

    monkeypatch.setattr(model, "hidden_states", counting)
    found = write_replies(model, TOKENIZER, TEMPLATE, QUESTIONS, max_tokens=20, stop_tokens=STOPS)
    assert sum(n for n, length in rows if length == 1) == sum(len(r.ids) for r in found)


def test_a_reply_is_cut_where_the_context_is_full() -> None:
    prompt = len(TEMPLATE.encode(TOKENIZER, question("x" * 50)))
    model = random_model("gpt2", context_length=prompt + 3)
    with torch.no_grad():
        model.lm_head.weight[[END, TOKENIZER.end_of_text or 0]] = 0
    long, short = write_replies(
        model, TOKENIZER, TEMPLATE, [question("x" * 50), question("a")], max_tokens=20
    )
    assert (len(long.ids), long.ended) == (3, False)
    assert len(short.ids) == 20


def test_progress_counts_what_is_answered() -> None:
    told: list[tuple[int, int]] = []
    write_replies(
        random_model("rope"),
        TOKENIZER,
        TEMPLATE,
        QUESTIONS,
        max_tokens=20,
        batch_tokens=300,
        stop_tokens=STOPS,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (len(QUESTIONS), len(QUESTIONS))
    assert told == sorted(set(told))
    assert len(told) > 3


def test_no_question_has_no_reply() -> None:
    assert write_replies(random_model("rope"), TOKENIZER, TEMPLATE, []) == []


@pytest.mark.parametrize(
    ("asked", "settings", "message"),
    [
        ([question("a"), question("x" * 200)], {}, r"question 2: it takes 2\d\d tokens"),
        ([question("a")], {"examples": [example("x" * 99, "y")] * 2}, "with 2 examples before it"),
        ([example("a", "b")], {}, "question 1: it does not end with a message of the user"),
        ([[]], {}, "question 1: it does not end with a message of the user"),
        ([question("a")], {"examples": [question("b")]}, "example 1: it does not end with a reply"),
        ([question("a")], {"max_tokens": 0}, "max_tokens = 0"),
        ([question("x" * 200)], {"name": lambda n: f"mine, line {n}"}, "mine, line 0: it takes"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_written(
    asked: list[Dialogue], settings: dict[str, Any], message: str
) -> None:
    told: list[int] = []
    with pytest.raises(UsageError, match=message):
        write_replies(
            random_model("rope"),
            TOKENIZER,
            TEMPLATE,
            asked,
            progress=lambda done, total: told.append(done),
            **settings,
        )
    assert not told


def test_what_the_template_refuses_is_named() -> None:
    asked = [question("a"), question("b", "no system here")]
    with pytest.raises(UsageError, match="question 2: the chat template refuses"):
        write_replies(random_model("rope"), TOKENIZER, ChatTemplate(ALTERNATING, "<s>"), asked)


def test_a_tokenizer_of_another_model_is_refused() -> None:
    model = GPT(GPTConfig(vocab_size=5, context_length=8, emb_dim=8, n_heads=1, n_layers=1))
    with pytest.raises(UsageError):
        write_replies(model, CharTokenizer.train(["abcdefgh"]), TEMPLATE, QUESTIONS)
