"""How tokenizers cut a text into words, by the names that GGUF files give them.

The patterns are those of the published tokenizer.json files. llama.cpp has them built in, so that a
file can only name one, never bring its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from groundup.tokenizer import byte_level, patterns

NFC = {"type": "NFC"}


def _split(pattern: str) -> dict[str, Any]:
    """Cut where the pattern says, then write bytes as visible characters."""
    cut = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    return {"type": "Sequence", "pretokenizers": [cut, byte_level.pre_tokenizer(use_regex=False)]}


_GPT2 = byte_level.pre_tokenizer(use_regex=True)
_DIGITS = {
    "type": "Sequence",
    "pretokenizers": [{"type": "Digits", "individual_digits": True}, _GPT2],
}
_LLAMA3 = _split(patterns.LLAMA3)
_QWEN2 = _split(patterns.QWEN2)
_SEED = _split(patterns.SEED)
_TEKKEN = _split(patterns.TEKKEN)
_GPT4O = _split(patterns.GPT4O)


class PreTokenizer(NamedTuple):
    """The parts of a tokenizer.json that a name in a GGUF file stands for."""

    pre_tokenizer: dict[str, Any]
    normalizer: dict[str, Any] | None = None
    ignore_merges: bool = False
    """Whether a word that is a token is taken whole, however its merges go."""
    starts: bool = False
    """Whether a text begins with the start token where the file does not say."""


PRE_TOKENIZERS = {
    "gpt-2": PreTokenizer(_GPT2),
    "smollm": PreTokenizer(_DIGITS),
    "llama-bpe": PreTokenizer(_LLAMA3, ignore_merges=True, starts=True),
    "qwen2": PreTokenizer(_QWEN2, normalizer=NFC),
    "deepseek-r1-qwen": PreTokenizer(_QWEN2),
    "dbrx": PreTokenizer(_LLAMA3),
    "tekken": PreTokenizer(_TEKKEN, ignore_merges=True, starts=True),
    "gpt-4o": PreTokenizer(_GPT4O),
    "olmo": PreTokenizer(_GPT2, normalizer=NFC),
    "command-r": PreTokenizer(_DIGITS, normalizer=NFC),
    "glm4": PreTokenizer(_LLAMA3, ignore_merges=True),
    "seed-coder": PreTokenizer(_SEED),
}
SYNONYMS = {
    "phi-2": "gpt-2",
    "llama3": "llama-bpe",
    "llama-v3": "llama-bpe",
    "smaug-bpe": "dbrx",
    "chatglm-bpe": "dbrx",
    "stablelm2": "deepseek-r1-qwen",
    "starcoder": "smollm",
    "refact": "smollm",
}
UNNAMED = ("", "default")
"""What files of older converters say."""


def pre_tokenizer_name(document: dict[str, Any]) -> str | None:
    """Return the name for how a tokenizer.json cuts texts, None where GGUF has none."""
    wanted = (
        _plain(document.get("pre_tokenizer")),
        document.get("normalizer"),
        bool(document["model"].get("ignore_merges")),
    )
    for name, parts in PRE_TOKENIZERS.items():
        if wanted == (_plain(parts.pre_tokenizer), parts.normalizer, parts.ignore_merges):
            return name
    return None


def _plain(part: Any) -> Any:
    """Return a pre-tokenizer without what makes no difference."""
    if not isinstance(part, dict):
        return part
    steps = part.get("pretokenizers")
    if isinstance(steps, list):
        return [_plain(step) for step in steps] if len(steps) != 1 else _plain(steps[0])
    return {key: value for key, value in part.items() if key != "trim_offsets"}
