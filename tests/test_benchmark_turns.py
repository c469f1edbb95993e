"""Turns beside a load, what is kept of them, and which parts are measured anew."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("benchmarks", reason="the checkout's root is not on the path")
from benchmarks import contestants, everything, report, training, turns
from benchmarks.contestants import fused
from benchmarks.peers.plain_gpt2 import PlainGPT2, Shape, adamw
from benchmarks.tables import TABLES
from groundup.base.load import CoreWatch, Load

SHAPE: dict[str, Any] = {
    "vocab_size": 32,
    "context_length": 8,
    "emb_dim": 16,
    "n_heads": 2,
    "n_layers": 1,
}
JOB = {
    "contestant": "plain", "shape": SHAPE, "batch_size": 2, "window": 8, "steps": 4, "warm_up": 1,
    **training.HELPS[""],
}  # fmt: skip


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let others use so many cores beside each turn, one after the other; and wait no time."""

    def set_loads(*cores: float) -> None:
        following = iter(cores)
        monkeypatch.setattr(turns.Others, "look", lambda self: next(following))

    monkeypatch.setattr(turns, "wait_for_quiet", lambda seconds: None)
    return set_loads


def counted() -> tuple[dict[str, int], dict[str, Callable[[int], turns.Record]]]:
    taken = {"a": 0, "b": 0}

    def turn(name: str, number: int) -> turns.Record:
        taken[name] += 1
        return {"number": number, "taken": taken[name]}

    return taken, {"a": lambda n: turn("a", n), "b": lambda n: turn("b", n)}


def test_a_round_beside_a_load_is_thrown_away_repeated_and_counted(loads: Any) -> None:
    loads(0.1, 0.2, 0.1, 0.9, 0.0, 0.3)  # the second round was disturbed at its end
    taken, both = counted()
    records = turns.in_turns(both, 2)
    assert taken == {"a": 3, "b": 3}
    assert [r["number"] for r in records["a"]] == [0, 1]
    assert [(r["thrown_away"], r["taken"]) for r in records["a"]] == [(0, 1), (1, 3)]
    beside = turns.load_of(records)
    assert beside["thrown_away"] == 1
    assert beside["others"] == pytest.approx({"median": 0.15, "low": 0.0, "high": 0.3})
    shown = TABLES["training"](training_result(beside))
    assert "used 0.15 cores beside a turn, 0.30 at most; rounds thrown away for more" in shown
    assert "did not get quiet" not in shown


def test_a_machine_that_stays_busy_is_measured_all_the_same_and_says_so(loads: Any) -> None:
    loads(*[2.0] * 9)
    taken, both = counted()
    records = turns.in_turns(both, 1)
    assert taken == {"a": turns.THROWN_AWAY_AT_MOST + 1, "b": 1}
    assert "did not get quiet" in TABLES["training"](training_result(turns.load_of(records)))


def test_turns_that_are_kept_are_not_taken_again(loads: Any, tmp_path: Path) -> None:
    loads(0.0, 0.0, 0.0, 0.9, 0.0, 0.0)
    taken, both = counted()
    first = turns.in_turns(both, 1, tmp_path)
    assert turns.in_turns(both, 1, tmp_path) == first
    assert taken == {"a": 1, "b": 1}
    more = turns.in_turns(both, 2, tmp_path)  # of the second round nothing that was disturbed
    assert taken == {"a": 3, "b": 3}
    assert more["a"] == [*first["a"], {"number": 1, "taken": 3, "others": 0.0, "thrown_away": 1}]


def test_what_a_turn_itself_computes_is_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    spin = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    monkeypatch.setattr(CoreWatch, "look", lambda self: Load(1.5, 0.5))
    others, begun = turns.Others(), time.perf_counter()
    subprocess.run([sys.executable, "-c", spin], check=True)
    found, seconds = others.look(), time.perf_counter() - begun
    assert found is not None
    assert 0.0 <= found <= 1.5 - 0.3 / seconds + 0.05
    monkeypatch.setattr(CoreWatch, "look", lambda self: None)
    assert turns.Others().look() is None


def test_the_parent_of_all_measuring_is_without_torch() -> None:
    code = "import sys, benchmarks.__main__, benchmarks.everything; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=turns.environment(1), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "False\n"


def test_fused_adamw_takes_the_same_steps() -> None:
    losses = []
    for help_ in ("", "fused"):
        torch.manual_seed(1)
        model = PlainGPT2(Shape(**SHAPE))
        optimizer = adamw(model, 1e-2, 0.95)
        job = JOB | training.HELPS[help_]
        if help_:
            assert [g["weight_decay"] for g in fused(optimizer).param_groups] == [0.1, 0.0]
            assert fused(optimizer).param_groups[0]["lr"] == 1e-2
        losses.append(contestants.train(model, optimizer, model.loss, job)[2])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_bf16_is_autocast_of_the_same_model() -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(1)
        model = PlainGPT2(Shape(**SHAPE))
        job = JOB | {"precision": precision}
        losses[precision] = contestants.train(model, adamw(model, 1e-2, 0.95), model.loss, job)[2]
        assert all(p.dtype == torch.float32 for p in model.parameters())
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)


def test_every_help_has_all_that_is_before_it_and_every_case_ours_beside() -> None:
    assert [list(help_.values()) for help_ in training.HELPS.values()] == [
        [False, False, "fp32"], [True, False, "fp32"], [True, True, "fp32"], [True, True, "bf16"]
    ]  # fmt: skip
    for case in [*training.BRIEF.values(), *training.LARGE.values()]:
        assert case.contestants[:2] == training.OURS
        assert "nanogpt-bf16" in case.contestants
    options = argparse.Namespace(quick=False, steps=10, nanogpt=None, litgpt=None)
    for case in training.BRIEF.values():
        job = training.job_of(case, "nanogpt-kept", options)
        assert job["warm_up"] >= 3
        assert job["steps"] - job["warm_up"] >= 10


def test_without_nanogpt_the_plain_one_stands_in_and_slow_bf16_is_left_out() -> None:
    options = argparse.Namespace(nanogpt=None, litgpt=None)
    case = training.BRIEF["10m"]
    fast = {"gemm_flops": 1.0, "bf16_flops": 3.0}
    absent = training.missing(options, set(case.contestants), fast)
    assert list(absent) == ["nanogpt"]
    plain = ["plain", "plain-fused", "plain-kept", "plain-bf16"]
    assert training.present(case, absent) == ["ours", "ours-bf16", *plain]
    absent = training.missing(options, set(case.contestants), fast | {"bf16_flops": 0.5})
    assert training.present(case, absent) == ["ours", *plain[:3]]


def training_result(load: turns.Record) -> turns.Record:
    """A result of training of one case, with figures of no meaning."""
    keys = [f"small/{who}" for who in training.BRIEF["small"].contestants]
    options = argparse.Namespace(quick=False, steps=10, nanogpt=None, litgpt=None)
    jobs = {k: training.job_of(training.BRIEF["small"], k.split("/")[1], options) for k in keys}
    speed = {"ours": 1.0, "ours-bf16": 0.5}
    records = {
        key: [{"step_seconds": [speed.get(key.split("/")[1], 2.0)], "peak_memory_mib": 100.0,
               "parameters": 1, **({"chooses": "bf16"} if "ours" in key else {})}]
        for key in keys
    }  # fmt: skip
    ceilings = {"gemm_flops": 1e9, "bf16_flops": 2e9, "bandwidth": 1e9}
    summary = training.summarise(jobs, records, "small", [ceilings])
    machine = {"cpu": "Some(R) CPU", "cores": 2, "memory_gib": 1, "instructions": "AVX9",
               "torch": "2", "python": "3"}  # fmt: skip
    return {
        "setting": {"threads": 2}, "machine": machine, "load_average": 0.0, "load": load,
        "ceilings": ceilings, "missing": {}, "jobs": jobs, "contestants": records,
        "summary": {"small": summary},
    }  # fmt: skip


def test_ratios_are_within_a_number_format_and_rows_say_what_was_given() -> None:
    result = training_result({"others": None, "thrown_away": 0})
    summary = result["summary"]["small"]
    assert summary["nanogpt-kept"]["our_speed_ratio"]["median"] == 2.0
    assert summary["nanogpt-bf16"]["our_speed_ratio"]["median"] == 4.0
    shown = TABLES["training"](result)
    assert "**groundup**, bf16 (its own choice, 1 of 1 times)" in shown
    assert "| nanoGPT, fused AdamW, our allocator's setting |" in shown
    assert "120 timed steps a turn after 3 to warm up; 1 round." in shown


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    for module in (report, everything):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "state_of_code", lambda: "abc")
    (tmp_path / "page.md").write_text(f"before {report.BEGIN} old {report.END} after")
    return tmp_path / "results"


def test_each_machine_has_its_table_under_one_heading(results: Path) -> None:
    options = argparse.Namespace(out=None)
    one = training_result({"others": None, "thrown_away": 0})
    other = one | {"machine": one["machine"] | {"cpu": "Other"}}
    report.publish("training", one, options)
    report.publish("training", other, options)
    page = (results.parent / "page.md").read_text()
    assert sorted(path.name for path in results.iterdir()) == ["other-avx9", "some-cpu-avx9"]
    assert page.count("### Training, the same mathematics") == 1
    assert page.count("Machine: Other") == page.count("Machine: Some(R) CPU") == 1
    today = time.strftime("%Y-%m-%d")
    assert f"[other-avx9](../results/other-avx9/training.json), {today}, at abc, by" in page
    assert "old" not in page
    assert page.startswith("before ")
    assert page.endswith(" after")


def test_what_is_there_of_this_code_and_machine_is_not_measured_again(results: Path) -> None:
    options = everything.parse(["--work", "w", "--only", "training", "speedrun", "busy"])
    here = results / report.machine_folder()
    here.mkdir(parents=True)
    (here / "training.json").write_text(json.dumps({"commit": "abc"}))
    (here / "busy.json").write_text(json.dumps({"commit": "old"}))
    found = dict(everything.to_do(options, "abc"))
    assert found == {
        "training": "there already, of abc", "speedrun": "not given: --text", "busy": ""
    }  # fmt: skip
    assert dict(everything.to_do(options, "abc-dirty"))["training"] == ""
    options.again = True
    assert dict(everything.to_do(options, "abc"))["training"] == ""


def test_every_table_of_the_page_is_made_by_a_part(tmp_path: Path) -> None:
    assert everything.PARTS.keys() - {"memory"} == TABLES.keys()  # its table is in docs/plan.md
    options = everything.parse(["--work", str(tmp_path), "--text", __file__])
    words = everything.command("speedrun_long", options, "abc")
    assert words[1:] == [
        "-m", "benchmarks.speedrun_long", "--text", __file__,
        "--work", str(tmp_path / "abc" / "speedrun_long"),
    ]  # fmt: skip


def test_a_command_is_told_without_the_paths_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["/x/benchmarks/training.py", "--large", "--work", "/tmp/w", "--rounds", "3"]
    monkeypatch.setattr(sys, "argv", words)
    assert report.command() == "python -m benchmarks.training --large --work WORK --rounds 3"
