"""Tensors are held against those of a model, and all that is wrong is said at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import torch

from groundup.base.errors import RunError
from groundup.runs.tensor_check import LISTED, check_tensors, tensor_problems

EXPECTED = {"a.weight": (2, 3), "b.weight": (4,)}


def test_tensors_that_fit_are_no_problem() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        found = {name: torch.zeros(shape, dtype=dtype) for name, shape in EXPECTED.items()}
        assert not tensor_problems(found, EXPECTED.items())


def test_all_that_is_wrong_is_one_line() -> None:
    found = {
        "a.weight": torch.zeros(3, 2),
        "two\nlines": torch.zeros(1),
        "c": torch.zeros(1, dtype=torch.int64),
    }
    expected = {**EXPECTED, "c": (1,)}
    with pytest.raises(RunError) as caught:
        check_tensors(found, expected.items(), Path("file"))
    assert str(caught.value) == (
        "file does not fit its config: missing b.weight; unexpected 'two\\nlines'; "
        "a.weight is (3, 2), expected (2, 3); c holds int64, expected floating-point numbers"
    )


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.bool, torch.uint8])
def test_numbers_that_weights_are_never_in_are_refused(dtype: torch.dtype) -> None:
    found = {"b": torch.zeros(4, dtype=dtype)}
    assert "b holds" in tensor_problems(found, [("b", (4,))])


def test_a_model_without_end_is_refused_at_once() -> None:
    taken = count()

    def layers() -> Iterator[tuple[str, tuple[int, ...]]]:
        while True:
            yield f"layer {next(taken)}", (1,)

    problems = tensor_problems({"layer 0": torch.zeros(1)}, layers())
    assert problems.count("missing") == LISTED
    assert problems.endswith("and 1 more")
    assert next(taken) < 2 * LISTED
