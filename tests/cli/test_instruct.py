"""`groundup finetune instruct`, as a user would call it: what its first minute tells."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Groundup
from tests.finetune.instructing import with_base, with_records

QUICK = [w for k in ("threads=1", "sample_tokens=2", "batch_size=4") for w in ("--set", k)]
MAKE = ["finetune", "instruct", "base", "--records", "records.jsonl", "--run", "a", *QUICK]
EXAMPLE = """
Example     records.jsonl, line 1; learnt is what stands between « and »
            <|im_start|>user
            0 a?<|im_end|>
            <|im_start|>assistant
            «a<|im_end|>»
"""


def test_what_is_learnt_and_how_is_shown_before_it_is_learnt(groundup: Groundup) -> None:
    Path("runs").mkdir()
    with_base(Path("runs"))
    with_records(Path())
    Path("text.txt").write_text("".join(f"line {n} of a text\n" for n in range(300)))
    made = groundup(*MAKE, "--steps", "2", "--mix-text", "text.txt", "--mix-share", "0.4")
    assert made.status == 0, made.err
    told = made.out.partition("Step 0")[0]
    for part in (
        "Records     48 to learn from, 6 to validate, 6 to test",
        "Template    ours (ChatML), with new tokens <|im_start|> and <|im_end|>; the base has none",
        " tokens of text.txt a pass, ",
        EXAMPLE,
        "Memory      ",
    ):
        assert part in told, made.out
    again = groundup("resume", "a", "--extend", "3")
    assert again.status == 0, again.err
    assert "learnt is what stands between" not in again.out, "it is shown once"
    assert " tokens of text.txt a pass, " in again.out
