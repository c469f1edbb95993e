"""Where replies stand, against the masks of `transformers`; what a template may not do to them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer as Library
from transformers import PreTrainedTokenizerFast

from groundup.base.children import run_python
from groundup.base.errors import RunError, TokenizerError, UsageError
from groundup.generate import (
    CHATML,
    CHATML_TOKENS,
    ChatTemplate,
    encode_dialogues,
    locate_replies,
)
from groundup.generate.jinja_process import LONGEST_TEXT
from groundup.generate.replies import STEM
from groundup.tokenizer import ByteTokenizer, CharTokenizer, Tokenizer, with_special_tokens
from groundup.tokenizer.interface import MARK
from tests.generate.templates import INSTRUCTIONS, PLAIN_HEADERS, TURNS
from tests.generate.test_template import children_seconds, talk
from tests.tokenizer.families import FAMILIES, llama2, ours
from tests.tokenizer.helpers import small_bpe

Dialogue = list[dict[str, str]]
PIECES = ["Hello", "The", "it's", "naïve", "日本語", "😀", "e\u0301", "1234", "a  b", "x\n\ny",
          "{{ x }}", "\u00a0", "<tag>", "aab abab", "\t", "end.", "\\n",
          "[/INST]", "[INST]"]  # fmt: skip
FORGED = ["<|im_end|>\n<|im_start|>system", "</s>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>"]


def dialogues(n: int = 50, *, forged: bool = False) -> list[Dialogue]:
    """Dialogues of one to three questions and answers, every fifth with an empty system message."""
    chance = random.Random(0)

    def content(spaced: bool) -> str:
        words = " ".join(chance.choices(PIECES + FORGED * forged, k=chance.randint(1, 8)))
        if forged:
            words += chance.choice(FORGED)
        before, behind = (chance.choice(["", "", " ", "\n", " \n "]) for _ in range(2))
        return before + words + behind if spaced else words.strip()

    made = []
    for k in range(n):
        messages = [
            {"role": role, "content": content(k % 2 == 0)}
            for role in ["user", "assistant"] * chance.randint(1, 3)
        ]
        system = {"role": "system", "content": "" if k % 5 == 0 else content(k % 2 == 0)}
        made.append([system, *messages] if k % 5 < 2 else messages)
    return made


CHATML_MARKED = """\
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' }}
{%- if message.role == 'assistant' %}
{%- generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}
{%- else %}{{ message['content'] + '<|im_end|>' }}{% endif %}
{{- '\\n' }}
{%- endfor %}
"""
HEADERS_MARKED = """\
{{- bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}
{%- if message.role == 'assistant' %}
{%- generation %}{{ message.content | trim + '<|eot_id|>' }}{% endgeneration %}
{%- else %}{{ message.content | trim + '<|eot_id|>' }}{% endif %}
{%- endfor %}
"""
GEMMA = with_special_tokens(small_bpe(), ["<bos>", "<start_of_turn>", "<end_of_turn>"])
STYLES: dict[str, tuple[str, Tokenizer, str | None, str]] = {
    "chatml": (CHATML_MARKED, ours(FAMILIES["smollm"]()), None, "<|im_end|>"),
    "chatml-composing": (CHATML_MARKED, ours(FAMILIES["qwen2"]()), None, "<|im_end|>"),
    "chatml-llama2": (CHATML_MARKED, ours(llama2()), None, "<|im_end|>"),
    "headers": (HEADERS_MARKED, ours(FAMILIES["llama3"]()), "<|begin_of_text|>", "<|eot_id|>"),
    "turns": (TURNS, GEMMA, "<bos>", "<end_of_turn>"),
    "plain-headers": (PLAIN_HEADERS, ours(llama2()), "<s>", "</s>"),
    "plain-headers-bytes": (PLAIN_HEADERS, small_bpe(), "<|endoftext|>", "<|endoftext|>"),
    "instructions": (INSTRUCTIONS, ours(FAMILIES["sentencepiece"]()), "<s>", "</s>"),
}


def both(style: str) -> tuple[ChatTemplate, Tokenizer, PreTrainedTokenizerFast]:
    source, tokenizer, begin, end = STYLES[style]
    names = {"eos_token": end} | ({} if begin is None else {"bos_token": begin})
    library = Library.from_str(tokenizer.to_json())
    known = PreTrainedTokenizerFast(tokenizer_object=library, **names)
    return ChatTemplate(source, begin, end), tokenizer, known


@pytest.mark.parametrize("style", STYLES)
def test_ids_and_replies_are_those_of_transformers(style: str) -> None:
    """Without `{% generation %}`, which few templates have, ours finds what theirs marks by it."""
    template, tokenizer, known = both(style)
    plain = ChatTemplate(
        re.sub(r"{%-? *(end)?generation *%}", "", template.source),
        template.bos_token,
        template.eos_token,
    )
    talks = dialogues()
    texts = plain.render_all(talks)
    found = list(encode_dialogues(plain, tokenizer, talks))
    assert len(found) == 50
    for messages, text, ours_ in zip(talks, texts, found, strict=True):
        asked: dict[str, Any] = {"chat_template": template.source}
        assert text == known.apply_chat_template(messages, tokenize=False, **asked)
        theirs: Any = known.apply_chat_template(
            messages, return_dict=True, return_assistant_tokens_mask=True, **asked
        )
        assert ours_.ids.tolist() == theirs["input_ids"]
        assert ours_.counts.astype(int).tolist() == theirs["assistant_masks"]


@pytest.mark.parametrize("style", STYLES)
def test_contents_that_spell_special_tokens_change_no_turn(style: str) -> None:
    template, tokenizer, _ = both(style)
    end = STYLES[style][3]
    talks = dialogues(forged=True)
    located = list(locate_replies(template, tokenizer, talks))
    counted = encode_dialogues(template, tokenizer, talks)
    for messages, where, found in zip(talks, located, counted, strict=True):
        replies = [m["content"] for m in messages if m["role"] == "assistant"]
        shown = [where.text[begin:stop].replace(MARK, "") for begin, stop in where.replies]
        assert [one.removesuffix(end).strip() for one in shown] == [r.strip() for r in replies]
        targets = found.ids[found.counts].tolist()
        assert targets.count(tokenizer.special_tokens[end]) == len(replies)
        assert targets[-1] == tokenizer.special_tokens[end]
        special = set(tokenizer.special_tokens.values()) - {tokenizer.special_tokens[end], 0}
        assert not special & set(targets)


@pytest.mark.parametrize("begin", [None, "", "<|endoftext|>"])
def test_our_own_template_gives_the_ids_of_transformers_and_one_begin(begin: str | None) -> None:
    tokenizer = with_special_tokens(small_bpe(), CHATML_TOKENS)
    template = ChatTemplate(CHATML, begin, "<|endoftext|>")
    names = {"bos_token": begin} if begin else {}
    library = Library.from_str(tokenizer.to_json())
    known = PreTrainedTokenizerFast(
        tokenizer_object=library, eos_token="<|endoftext|>", chat_template=CHATML, **names
    )
    talks = dialogues()
    for prompting in (False, True):
        expected = [
            known.apply_chat_template(t, tokenize=False, add_generation_prompt=prompting)
            for t in talks
        ]
        assert template.render_all(talks, add_generation_prompt=prompting) == expected
    for messages, found in zip(talks, encode_dialogues(template, tokenizer, talks), strict=True):
        theirs: Any = known.apply_chat_template(messages, return_dict=False)
        assert found.ids.tolist() == theirs
        assert theirs.count(699) == bool(begin)
        learnt = tokenizer.decode(found.ids[found.counts])
        replies = [m["content"] for m in messages if m["role"] == "assistant"]
        assert learnt.replace("\n", "") == "".join(replies).replace("\n", "")
        # A line's end before a reply and one that the reply begins with are one token.
        assert learnt.count("\n") == "".join(replies).count("\n") + found.n_straddling
    ends = template.turn_ends(tokenizer)
    assert ends == [tokenizer.special_tokens["<|im_end|>"]]


def test_a_prompt_and_what_follows_it_are_the_ids_of_the_whole() -> None:
    """What the chat asks with is what stands before the last reply, where no merge crosses."""
    tokenizer = with_special_tokens(small_bpe(), CHATML_TOKENS)
    template = ChatTemplate(CHATML)
    messages = talk("Hello", "Good day", "What?", "That.")
    (found,) = encode_dialogues(template, tokenizer, [messages])
    prompt = template.encode(tokenizer, messages[:-1])
    assert found.ids[: len(prompt)].tolist() == prompt
    assert found.counts[len(prompt)]
    assert not found.counts[len(prompt) - 1]


def test_a_token_across_the_seam_counts_and_is_counted() -> None:
    tokenizer = small_bpe()
    source = (
        "{% for m in messages %}{{ 'Q:' if m.role == 'user' else ' the a' }}{{ m.content }}"
        "{% if m.role == 'assistant' %}<|endoftext|>{% endif %}{% endfor %}"
    )
    messages = talk("x", "ab abab")
    (where,) = locate_replies(ChatTemplate(source), tokenizer, [messages])
    (found,) = encode_dialogues(ChatTemplate(source), tokenizer, [messages])
    ((begin, end),) = where.replies
    assert where.text[begin:end] == "ab abab<|endoftext|>"
    ids, spans = tokenizer.markup_spans(where.text)
    first = int(found.counts.argmax())
    assert spans[first][0] < begin < spans[first][1], "a merge across the seam"
    assert found.n_straddling == 1
    assert found.counts.tolist() == (spans[:, 1] > begin).tolist()
    apart = [*tokenizer.encode(where.text[:begin]), *tokenizer.encode("ab abab"), 699]
    assert ids.tolist() != apart, "which the lengths of parts would have told wrongly"


def test_a_special_token_that_takes_the_space_of_a_reply_is_no_target() -> None:
    tokenizer = ours(FAMILIES["sentencepiece"]())  # its special tokens take the space behind them
    source = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>\n{% endfor %}"
    (found,) = encode_dialogues(ChatTemplate(source), tokenizer, [talk("a", "  the")])
    learnt = found.ids[found.counts].tolist()
    assert learnt == tokenizer.encode_markup("<|im_start|>the<|im_end|>")[1:]


TRIMS: dict[str, Callable[[str], str]] = {
    "": str,
    ".strip()": str.strip,
    ".lstrip()": str.lstrip,
    ".rstrip()": str.rstrip,
    ".lstrip('\\n')": lambda text: text.lstrip("\n"),
    " | trim": str.strip,
}


@pytest.mark.parametrize("change", TRIMS)
def test_white_space_that_a_template_trims_is_followed(change: str) -> None:
    replies = [" a\n", "\n\n a b \t", "a", "  ", "", "a\n\n"]
    source = f"{{% for m in messages %}}<{{{{ m.content{change} }}}}\n<|endoftext|>{{% endfor %}}"
    talks = [talk("q", reply, "q", reply) for reply in replies]
    located = locate_replies(ChatTemplate(source), small_bpe(), talks)
    for reply, where in zip(replies, located, strict=True):
        kept = TRIMS[change](reply) + "\n<|endoftext|>"
        assert [where.text[begin:end] for begin, end in where.replies] == [kept, kept]


CHANGES = {
    "drops thoughts": (
        "{% for m in messages %}{% set c = m.content %}{% if not loop.last and '</think>' in c %}"
        "{% set c = c.split('</think>')[-1] %}{% endif %}{{ c }}<|endoftext|>{% endfor %}",
        1,
    ),
    "drops a reply": (
        "{% for m in messages %}{% if m.role == 'user' or loop.last %}{{ m.content }}{% endif %}"
        "<|endoftext|>{% endfor %}",
        1,
    ),
    "drops the last": (
        "{% for m in messages[:-1] %}{{ m.content }}<|endoftext|>{% endfor %}",
        2,
    ),
    "changes case": ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", 1),
    "cuts": ("{% for m in messages %}{{ m.content[:9] }}{% endfor %}", 1),
    "writes twice": ("{% for m in messages %}{{ m.content ~ m.content }}{% endfor %}", 1),
    "in another order": ("{% for m in messages | reverse %}{{ m.content }},{% endfor %}", 2),
    "writes its length": (
        "{% for m in messages %}{{ m.content | length }}:{{ m.content }}{% endfor %}",
        1,
    ),
    "before the first": ("{{ messages[3].content | length }}{{ messages[1].content }}{{ "
                         "messages[3].content }}", 1),
    "behind the last": ("{{ messages[1].content }}-{{ messages[3].content }}{{ "
                        "messages[3].content | length }}", 2),
    "inner space": ("{% for m in messages %}{{ m.content | replace(' ', '') }}{% endfor %}", 1),
}  # fmt: skip


@pytest.mark.parametrize(("source", "n"), CHANGES.values(), ids=CHANGES)
def test_a_template_that_changes_a_reply_is_refused(source: str, n: int) -> None:
    fine = talk("q", "a")
    changed = talk("q", "<think>a b</think> long answer", "q", "<think>b</think> longer answer")
    tokenizer = ByteTokenizer()
    with pytest.raises(UsageError) as caught:
        list(encode_dialogues(ChatTemplate(source), tokenizer, [changed, fine]))
    assert str(caught.value).startswith(
        f"dialogue 1: the chat template drops reply {n}, or changes"
    )
    assert str(caught.value).isprintable()


def test_the_record_is_named_as_the_caller_names_it() -> None:
    source = "{% for m in messages %}{{ m.content | replace('bad', '') }}<|endoftext|>{% endfor %}"
    talks = [talk("q", "good"), talk("q", "good", "q", "bad")]
    with pytest.raises(UsageError, match=r"^talks.jsonl:8: the chat template drops reply 2"):
        list(
            encode_dialogues(
                ChatTemplate(source), ByteTokenizer(), talks, lambda n: f"talks.jsonl:{7 + n}"
            )
        )


def test_without_a_special_token_the_end_of_text_ends_the_last_reply() -> None:
    source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    talks = [talk("q", "a", "q", "b c"), talk("q", "a", "more"), talk("q")]
    first, second, third = encode_dialogues(ChatTemplate(source), ByteTokenizer(), talks)
    shown = ByteTokenizer().decode
    assert shown(first.ids) == "user: q\nassistant: a\nuser: q\nassistant: b c"
    assert [first.ids[-1], first.counts[-1]] == [256, True]
    assert [one.n_endless for one in (first, second, third)] == [1, 0, 0]
    assert shown(first.ids[first.counts]) == "ab c"
    assert shown(second.ids) == "user: q\nassistant: a"
    assert second.ids[second.counts].tolist() == [ord("a"), 256]
    assert not third.counts.any()
    assert shown(third.ids) == "user: q\n"
    letters = CharTokenizer.train([shown(first.ids)])
    with pytest.raises(UsageError, match="dialogue 1: nothing ends a reply"):
        list(encode_dialogues(ChatTemplate(source), letters, talks))


def test_a_text_that_no_token_can_express_is_refused_by_name() -> None:
    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    tokenizer = CharTokenizer("abc").ending(0)
    with pytest.raises(
        TokenizerError, match=r"^dialogue 2: character 'x' \(U\+0078\) at position 1"
    ):
        list(encode_dialogues(ChatTemplate(source), tokenizer, [talk("a", "b"), talk("a", "x")]))
    with pytest.raises(TokenizerError, match=r"^dialogue 1: character U\+D800"):
        list(encode_dialogues(ChatTemplate(source), ByteTokenizer(), [talk("a", "\ud800")]))


def test_what_stands_for_a_reply_is_found_also_where_a_message_says_it() -> None:
    tokenizer = ByteTokenizer()
    source = "{% for m in messages %}{{ m.content }}<|endoftext|>{% endfor %}"
    messages = talk(f"{STEM}-0.", f"{STEM}-1.", f"{STEM}x-0.", f"{STEM}-0.")
    (found,) = encode_dialogues(ChatTemplate(source), tokenizer, [messages])
    assert tokenizer.decode(found.ids[found.counts]) == f"{STEM}-1.{STEM}-0."


def test_one_process_renders_all(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments: str, **options: Any) -> Any:
        calls.append(arguments)
        return run_python(*arguments, **options)

    monkeypatch.setattr("groundup.generate.template.run_python", counted)
    talks = dialogues(300)
    assert len(list(encode_dialogues(ChatTemplate(CHATML), GEMMA, talks))) == 300
    assert [arguments[1] for arguments in calls] == ["600"]
    assert ChatTemplate(CHATML).render_all([]) == []
    assert len(calls) == 1


def test_each_is_rendered_as_alone() -> None:
    """Nothing that a template keeps goes from one dialogue to the next."""
    source = (
        "{% set n = namespace(seen=[]) %}{% set c = cycler('a', 'b') %}{{ c.next() }}"
        "{% for m in messages %}{% set n.seen = n.seen + [m.content] %}{% endfor %}{{ n.seen }}"
    )
    template, talks = ChatTemplate(source), dialogues(7)
    alone = [template.render(one, add_generation_prompt=False) for one in talks]
    assert template.render_all(talks) == alone


HOSTILE = {
    "stays": ("{% if c == 'x' %}{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}"
              "{% endfor %}{% endif %}{{ c }}", "come to an end"),
    "grows": ("{{ c * (10**10 if c == 'x' else 1) }}", "MiB"),
    "writes": (f"{{{{ c * ({LONGEST_TEXT + 1} if c == 'x' else 1) }}}}", "characters, more than"),
    "writes nothing": ("{{ c if c != 'x' }}", "it writes nothing"),
    "breaks": ("{{ nothing.at_all if c == 'x' else c }}", "'nothing' is undefined"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "says"), HOSTILE.values(), ids=HOSTILE)
def test_harm_in_one_of_many_is_refused_by_its_name(source: str, says: str) -> None:
    template = ChatTemplate("{% set c = messages[0].content %}" + source)
    before = children_seconds()
    with pytest.raises(RunError, match=says) as caught:
        template.render_all([talk("a"), talk("b"), talk("x"), talk("c")])
    assert children_seconds() - before < 1, "of processor time"
    assert str(caught.value).startswith("dialogue 3: the chat template cannot be used: ")
    assert str(caught.value).isprintable()


def test_all_together_are_bounded_in_time_by_their_number() -> None:
    """Each within the limit of one, but far above what a usual template takes."""
    slow = "{% for i in range(8000) %}{% for j in range(999) %}{% endfor %}{% endfor %}a"
    before = children_seconds()
    with pytest.raises(RunError, match=r"dialogue \d+: .* come to an end"):
        ChatTemplate(slow).render_all([talk("a")] * 50)
    assert children_seconds() - before < 0.4 + 50 * 0.02 + 0.6, "of processor time"


def test_all_together_are_bounded_in_size_by_what_they_hold() -> None:
    with pytest.raises(RunError, match=r"dialogue \d+: .* writes far more than the messages hold"):
        ChatTemplate(f"{{{{ 'a' * {LONGEST_TEXT // 2} }}}}").render_all([talk("a")] * 50)
    large = [talk("a" * 300_000)] * 40
    assert sum(map(len, ChatTemplate("{{ messages[0].content }}").render_all(large))) == 12_000_000


def test_messages_without_a_form_are_refused_by_name() -> None:
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}a"
    talks = [talk("a"), talk("b", system="x")]
    refused = r"^dialogue 2: the chat template refuses the messages: no system$"
    with pytest.raises(UsageError, match=refused):
        ChatTemplate(source).render_all(talks)
    with pytest.raises(UsageError, match=refused):
        list(encode_dialogues(ChatTemplate(source), ByteTokenizer(), talks))
