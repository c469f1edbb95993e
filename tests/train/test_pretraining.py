from __future__ import annotations

from groundup.data import TokenSplit
from groundup.tokenizer import ByteTokenizer
from groundup.train.pretraining import prompt_from


def test_a_prompt_from_the_middle_begins_with_a_whole_character() -> None:
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode_array("é🎈" * 80)
    splits = [TokenSplit.from_array(ids[n:], len(ids) - n) for n in range(12)]
    prompts = {prompt_from(tokenizer, split) for split in splits}
    assert prompts == {"é🎈" * 12, "🎈é" * 12}
