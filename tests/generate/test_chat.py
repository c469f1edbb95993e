"""Talking in turns: what the model reads, where it stops, what it forgets, whose settings count."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from groundup.base.errors import ConfigError, TokenizerError, UsageError
from groundup.generate import (
    Chat,
    ChatTemplate,
    Conversation,
    SamplingConfig,
    generate,
    generate_tokens,
    open_chat,
    run_settings,
    stream,
    stream_from,
)
from groundup.generate.run_settings import run_template
from groundup.generate.text_stream import TextStream
from groundup.model import GPT
from groundup.runs.load import LoadedRun
from groundup.runs.manifest import DataTable, Manifest
from groundup.tokenizer import ByteTokenizer, CharTokenizer, JSONTokenizer, Tokenizer
from tests.generate.templates import ALTERNATING, CHATML
from tests.generate.test_generate import random_model
from tests.generate.test_template import reference
from tests.tokenizer.families import FAMILIES, llama2, metaspace, ours

TOKENIZER: JSONTokenizer = ours(FAMILIES["smollm"]())
MANIFEST = Manifest(model={}, data=DataTable())
END = TOKENIZER.special_tokens["<|im_end|>"]
TEMPLATE = ChatTemplate(CHATML)
SHORT = ChatTemplate(
    "{% for m in messages %}{{ m.role[0] + m.content + '<|im_end|>' }}{% endfor %}"
)


def model(context_length: int = 256, seed: int = 0) -> GPT:
    shape = {"vocab_size": TOKENIZER.vocab_size, "context_length": context_length}
    return random_model(seed, n_layers=1, **shape)


def a_run(template: str | None = CHATML, **generation: Any) -> LoadedRun:
    return LoadedRun(model(), TOKENIZER, 1, MANIFEST, [], template, generation)


def test_each_turn_reads_the_whole_conversation_as_transformers_writes_it() -> None:
    gpt = model()
    talk = Conversation(gpt, TOKENIZER, TEMPLATE, max_tokens=12, temperature=1.5, seed=3)
    messages: list[dict[str, str]] = []
    for turn, line in enumerate(["Hello there", "  and 1234?\n", "<not special>"]):
        messages.append({"role": "user", "content": line})
        ids: Any = reference("smollm").apply_chat_template(
            messages, chat_template=CHATML, add_generation_prompt=True, return_dict=False
        )
        sampling = SamplingConfig(max_tokens=12, temperature=1.5, seed=3 + turn)
        expected = "".join(stream_from(gpt, TOKENIZER, ids, sampling))
        assert "".join(talk.say(line)) == expected
        messages.append({"role": "assistant", "content": expected})
        assert talk.messages == messages
    assert talk.forgotten == 0


def test_the_system_message_comes_first() -> None:
    talk = Conversation(model(), TOKENIZER, TEMPLATE, system="Rhyme.", max_tokens=3, seed=1)
    read = reading(talk)
    list(talk.say("Hi"))
    list(talk.say("Ho"))
    assert [messages[0] for messages in read] == [{"role": "system", "content": "Rhyme."}] * 2


def reading(talk: Conversation) -> list[list[dict[str, str]]]:
    """Return a list that the messages behind each rendering are added to."""
    read: list[list[dict[str, str]]] = []

    class Watched(ChatTemplate):
        def encode(self, tokenizer: Tokenizer, messages: Sequence[dict[str, str]]) -> list[int]:
            read.append(list(messages))
            return super().encode(tokenizer, messages)

    talk.template = Watched(talk.template.source)
    return read


def test_an_answer_cut_short_is_kept_as_far_as_it_came() -> None:
    talk = Conversation(model(), TOKENIZER, TEMPLATE, max_tokens=20, temperature=2.0, seed=1)
    answer = talk.say("Hello")
    piece = next(answer)
    answer.close()  # type: ignore[attr-defined]
    assert talk.messages[-1] == {"role": "assistant", "content": piece}
    list(talk.say("Go on"))
    assert [m["role"] for m in talk.messages] == ["user", "assistant"] * 2


def test_the_oldest_turns_are_forgotten_whole_and_never_the_system_message() -> None:
    context = 48
    gpt = model(context)
    widths: list[int] = []
    gpt.token_embedding.register_forward_hook(lambda m, i, o: widths.append(o.shape[1]))
    talk = Conversation(gpt, TOKENIZER, SHORT, system="S", max_tokens=8, temperature=2.0, seed=5)
    read = reading(talk)
    lines = [f"line {n}" for n in range(7)]
    for n, line in enumerate(lines):
        widths.clear()
        answer = talk.say(line)
        used = len(SHORT.encode(TOKENIZER, [*talk.system, *talk.messages[:-1]]))
        list(answer)
        assert sum(widths) < used + 8 + 2, "the window never moved: nothing was read again"
        kept = [message["content"] for message in read[-1]]
        assert kept[0] == "S"
        assert kept[1::2] == lines[talk.forgotten : n + 1]
        assert used + 8 <= context
    assert 2 < talk.forgotten < 6
    assert len(talk.messages) == 2 * (7 - talk.forgotten)


def test_an_answer_ends_where_the_context_does() -> None:
    talk = Conversation(model(32), TOKENIZER, SHORT, max_tokens=500, temperature=2.0, seed=5)
    read: list[int] = []
    talk.model.token_embedding.register_forward_hook(lambda m, i, o: read.append(o.shape[1]))
    list(talk.say("0123456789" * 2))
    n_prompt = len(SHORT.encode(TOKENIZER, talk.messages[:1]))
    assert 16 < n_prompt < 32
    assert n_prompt < sum(read) < 32


def test_a_line_too_long_for_the_context_changes_nothing() -> None:
    talk = Conversation(model(32), TOKENIZER, SHORT, max_tokens=4, temperature=1.0, seed=2)
    list(talk.say("a"))
    before = [dict(message) for message in talk.messages]
    with pytest.raises(UsageError, match=r"takes \d+ tokens .* the model sees 32; shorten it"):
        talk.say("0123456789" * 4)
    assert (talk.messages, talk.turns, talk.forgotten) == (before, 1, 0)
    with pytest.raises(UsageError, match="refuses the messages: no system message"):
        Conversation(model(), TOKENIZER, ChatTemplate(ALTERNATING), system="x").say("y")


def test_writing_ends_at_any_stop_token_which_is_not_shown() -> None:
    text = TextStream(ByteTokenizer(), stop_tokens=(98, 256))
    assert [text.feed(token) for token in b"a"] == ["a"]
    assert not text.ended
    assert text.feed(98) == ""
    assert text.ended
    gpt = model(seed=4)
    settings: dict[str, Any] = {"max_tokens": 30, "temperature": 2.0, "seed": 9}
    (whole,) = zip(
        *generate_tokens(gpt, [TOKENIZER.encode("Hi")], SamplingConfig(**settings)), strict=True
    )
    stop = next(token for n, token in enumerate(whole) if n > 5 and token not in whole[:n])
    expected = TOKENIZER.decode(whole[: whole.index(stop)])
    for stops in ([stop], (700, stop)):
        assert generate(gpt, TOKENIZER, "Hi", stop_tokens=stops, **settings) == expected
        assert "".join(stream(gpt, TOKENIZER, "Hi", stop_tokens=stops, **settings)) == expected


def test_a_start_token_stands_before_every_prompt() -> None:
    gpt = model(seed=6)
    settings: dict[str, Any] = {"max_tokens": 9, "temperature": 2.0, "seed": 1}
    for prompt in ("Hi", ""):
        ids = [END, *TOKENIZER.encode(prompt)]
        expected = "".join(stream_from(gpt, TOKENIZER, ids, SamplingConfig(**settings)))
        assert generate(gpt, TOKENIZER, prompt, start_token=END, **settings) == expected
        assert "".join(stream(gpt, TOKENIZER, prompt, start_token=END, **settings)) == expected
    assert generate(gpt, TOKENIZER, "Hi", **settings) != generate(
        gpt, TOKENIZER, "Hi", start_token=END, **settings
    )
    with pytest.raises(TokenizerError, match="token id 9999: expected 0 to"):
        generate(gpt, TOKENIZER, "Hi", start_token=9999)


def test_a_conversation_has_its_start_token_from_the_template() -> None:
    run = a_run("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", start_token=700)
    talk = open_chat(run, max_tokens=4, temperature=0)
    assert isinstance(talk, Conversation)
    assert talk.template.encode(TOKENIZER, [{"role": "user", "content": "x"}]) == [
        700,
        *TOKENIZER.encode("x"),
        TOKENIZER.end_of_text,
    ]
    assert TOKENIZER.end_of_text is not None
    ids = [700, *TOKENIZER.encode("x"), TOKENIZER.end_of_text]
    sampling = SamplingConfig(max_tokens=4, temperature=0)
    assert "".join(talk.say("x")) == "".join(stream_from(run.model, TOKENIZER, ids, sampling))


@pytest.mark.parametrize(
    ("generation", "names"),
    [
        ({}, ("", "<|endoftext|>")),
        ({"start_token": 700}, ("<|im_start|>", "<|endoftext|>")),
        ({"stop_tokens": [701, 699]}, ("", "<|im_end|>")),
        (
            {"start_token": 700, "bos_token": 699, "eos_token": 700},
            ("<|endoftext|>", "<|im_start|>"),
        ),
        ({"start_token": 5}, ("", "<|endoftext|>")),
    ],
)
def test_what_a_template_calls_by_name(generation: dict[str, Any], names: tuple[str, str]) -> None:
    template = run_template(a_run(**generation))
    assert template is not None
    assert (template.bos_token, template.eos_token) == names
    assert run_template(a_run(None)) is None


def test_the_runs_own_settings_count_where_nothing_else_is_asked_for() -> None:
    advised: dict[str, Any] = {
        "temperature": 0.2,
        "top_k": 50,
        "min_p": 0,
        "stop_tokens": [END],
        "start_token": 3,
    }
    run = a_run(**advised, bos_token=3, eos_token=4)
    assert run_settings(run) == advised
    asked = run_settings(run, temperature=0.0, top_k=None, max_tokens=5, seed=None, stop=None)
    assert asked == {**advised, "temperature": 0.0, "max_tokens": 5}
    assert run_settings(a_run()) == {}
    SamplingConfig(**asked)
    talk = open_chat(run, temperature=0)
    assert isinstance(talk, Conversation)
    assert talk.settings["top_k"] == 50
    assert talk.settings["temperature"] == 0


@pytest.mark.parametrize(
    ("generation", "says"),
    [
        ({"temprature": 1.0}, "unknown key 'temprature'; did you mean 'temperature'"),
        ({"temperature": "hot"}, "temperature = 'hot': expected float"),
        ({"temperature": -1.0}, "temperature = -1.0: expected 0"),
        ({"top_k": 1.5}, "top_k = 1.5: expected int"),
        ({"top_p": 0}, "top_p = 0.0: expected above 0"),
        ({"stop_tokens": 2}, "stop_tokens = 2: expected a list"),
        ({"stop_tokens": [2, 702]}, "stop_tokens = 702: expected a token id from 0 to 701"),
        ({"stop_tokens": [True]}, "stop_tokens = True: expected a token id"),
        ({"start_token": -1}, "start_token = -1: expected a token id"),
        ({"eos_token": "</s>"}, "eos_token = '</s>': expected a token id"),
    ],
)
def test_a_generation_file_that_makes_no_sense(generation: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_chat(a_run(**generation))
    assert str(caught.value).startswith(f"generation.toml: {says}")
    assert str(caught.value).endswith("; correct or remove it")


def test_without_a_template_one_text_grows() -> None:
    run = a_run(None, temperature=0.0)
    talk = open_chat(run, max_tokens=4)
    assert isinstance(talk, Chat)
    first = "".join(talk.say("Once"))
    assert talk.text == "Once" + first
    assert first == generate(run.model, TOKENIZER, "Once", max_tokens=4, temperature=0)
    with pytest.raises(UsageError, match="needs a chat template"):
        open_chat(run, system="Be brief.")


def test_a_tokenizer_of_bytes_can_hold_a_conversation() -> None:
    gpt = random_model(2, vocab_size=257, context_length=64)
    template = ChatTemplate("{% for m in messages %}{{ m.content }}<|endoftext|>{% endfor %}")
    talk = Conversation(gpt, ByteTokenizer(), template, max_tokens=5, temperature=0)
    ids = [*b"a<|endoftext|>", 256]
    expected = "".join(
        stream_from(gpt, ByteTokenizer(), ids, SamplingConfig(max_tokens=5, temperature=0))
    )
    assert "".join(talk.say("a<|endoftext|>")) == expected


LLAMA = ours(llama2())


def test_an_answer_is_what_transformers_decodes_behind_the_prompt() -> None:
    library, tokenizer = metaspace(), ours(metaspace())
    theirs = PreTrainedTokenizerFast(tokenizer_object=library)
    gpt = random_model(3, n_layers=1, vocab_size=tokenizer.vocab_size, context_length=64)
    template = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}")
    settings: dict[str, Any] = {"max_tokens": 9, "temperature": 1.5, "seed": 2}
    talk = Conversation(gpt, tokenizer, template, stop_tokens=[2], **settings)
    answer = "".join(talk.say("the end"))
    prompt = template.encode(tokenizer, talk.messages[:1])
    steps = generate_tokens(gpt, [prompt], SamplingConfig(**settings))
    written = [token for (token,) in steps if token is not None]
    written = written[: written.index(2)] if 2 in written else written
    there, whole = (
        theirs.decode(ids, skip_special_tokens=True) for ids in (prompt, prompt + written)
    )
    assert answer.startswith(" ")
    assert whole == f"{there}{answer}"


def test_a_chat_reads_again_what_it_has_read_and_written(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LLAMA.encode("the end of it\nthe 🎈")
    read: list[list[int]] = []

    def write(model: GPT, prompts: list[list[int]], *_: Any, **__: Any) -> Iterator[list[int]]:
        """Go on as `whole` does, with four tokens at most; the balloon takes as many bytes."""
        read.extend(prompts)
        n_read = len(prompts[0])
        yield from ([token] for token in whole[n_read : n_read + 4])

    module = sys.modules["groundup.generate.generate"]  # its name is the function's, too
    monkeypatch.setattr(module, "generate_tokens", write)
    talk = Chat(random_model(vocab_size=LLAMA.vocab_size), LLAMA)
    said = ["".join(talk.say(line)) for line in ("the end", "", "", "")]
    assert said == [" of ", "it\nt", "he \ufffd\ufffd", "🎈"]
    assert read == [whole[:n] for n in (5, 9, 13, 15)]
    assert talk.text == "the end of it\nthe 🎈"
    assert LLAMA.encode(talk.text) == whole


def test_a_chat_keeps_what_the_user_says() -> None:
    talk = Chat(random_model(vocab_size=LLAMA.vocab_size), LLAMA, max_tokens=0)
    assert list(talk.say(" odd \ufffd")) == []
    assert talk.text == " odd \ufffd"


def test_an_answer_again_takes_the_place_of_the_last_and_the_next_seed() -> None:
    gpt = model()
    settings: dict[str, Any] = {"max_tokens": 9, "temperature": 2.0}
    talk = Conversation(gpt, TOKENIZER, SHORT, seed=3, **settings)
    with pytest.raises(UsageError, match="nothing was said yet"):
        talk.retry()
    list(talk.say("A"))
    before = [dict(message) for message in talk.messages]
    first = "".join(talk.say("B"))
    again = "".join(talk.retry())
    assert talk.messages == [
        *before,
        {"role": "user", "content": "B"},
        {"role": "assistant", "content": again},
    ]
    ids = SHORT.encode(TOKENIZER, talk.messages[:-1])
    expected = "".join(stream_from(gpt, TOKENIZER, ids, SamplingConfig(seed=5, **settings)))
    assert first != again == expected


def test_a_text_is_written_again_from_where_it_was() -> None:
    run = a_run(None)
    talk = open_chat(run, max_tokens=5, temperature=2.0, seed=3)
    assert isinstance(talk, Chat)
    with pytest.raises(UsageError, match="nothing was said yet"):
        talk.retry()
    list(talk.say("A"))
    begun = talk.text + "\nB"
    first = "".join(talk.say("B"))
    assert talk.text == begun + first.rstrip("\ufffd")
    again = "".join(talk.retry())
    assert talk.text == begun + again.rstrip("\ufffd")
    expected = generate(run.model, TOKENIZER, begun, max_tokens=5, temperature=2.0, seed=5)
    assert first != again == expected
    talk.clear()
    assert talk.text == ""
    with pytest.raises(UsageError, match="nothing was said yet"):
        talk.retry()


def test_a_line_that_cannot_be_read_changes_no_text() -> None:
    talk = Chat(random_model(1, vocab_size=2), CharTokenizer("ab"), max_tokens=3)
    list(talk.say("a"))
    before = talk.text
    with pytest.raises(TokenizerError):
        talk.say("x")
    assert (talk.text, talk.turns) == (before, 1)


def test_what_is_forgotten_is_in_the_transcript_until_the_chat_is_cleared() -> None:
    talk = Conversation(model(32), TOKENIZER, SHORT, system="S", max_tokens=4, seed=5)
    lines = [f"line {n}" for n in range(3)]
    for line in lines:
        list(talk.say(line))
    assert talk.forgotten
    kept = [message["content"] for message in talk.transcript]
    assert [kept[0], *kept[1::2]] == ["S", *lines]
    talk.clear()
    assert talk.transcript == [{"role": "system", "content": "S"}]
    assert talk.forgotten == 0


def test_a_system_message_needs_a_place_in_the_template() -> None:
    deaf = ChatTemplate("{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}")
    with pytest.raises(UsageError, match="has no place for a system message"):
        Conversation(model(), TOKENIZER, deaf, system="S")
    talk = Conversation(model(), TOKENIZER, TEMPLATE, system="S")
    talk.set_system("T")
    assert talk.system == [{"role": "system", "content": "T"}]
    talk.template = deaf
    with pytest.raises(UsageError, match="has no place for a system message"):
        talk.tell("U")  # the former name of set_system
    assert talk.system == [{"role": "system", "content": "T"}]


def test_settings_change_between_turns() -> None:
    talk = Conversation(model(), TOKENIZER, SHORT, max_tokens=3, seed=1)
    list(talk.say("A"))
    talk.change("temperature", "0")
    talk.change("max_tokens", "1_0")
    assert (talk.sampling.temperature, talk.sampling.max_tokens, talk.sampling.seed) == (0, 10, 2)
    talk.change("seed", "7")
    assert talk.sampling.seed == 7
    talk.change("seed", "none")
    assert talk.sampling.seed is None
    before = talk.sampling
    for name, value in [("temperature", "hot"), ("top_k", "1.5"), ("top_p", "0"), ("stop", "x")]:
        with pytest.raises(ConfigError):
            talk.change(name, value)
    assert talk.sampling == before


def test_an_answer_begins_cooler_where_nobody_names_a_temperature() -> None:
    assert open_chat(a_run()).sampling.temperature == 0.3
    assert open_chat(a_run(top_k=5)).sampling.temperature == 0.3
    assert open_chat(a_run(temperature=0.9)).sampling.temperature == 0.9
    assert open_chat(a_run(temperature=0.9), temperature=0).sampling.temperature == 0
    assert open_chat(a_run(None)).sampling.temperature == 0.8
