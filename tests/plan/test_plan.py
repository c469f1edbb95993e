import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import ConfigError, UsageError
from groundup.config import TrainConfig, parameter_shapes, preset
from groundup.plan import (
    Calibration,
    check_fits,
    count_parameters,
    expected_step_seconds,
    generation_memory,
    load_calibration,
    machine_fingerprint,
    make_plan,
    plan_rows,
    plan_tables,
    training_flops_per_token,
    training_memory,
)
from groundup.plan.memory import muon_work, optimizer_memory
from groundup.plan.units import duration, flop, mib, number

MEASURED = Calibration(device="cpu", matmul_gflops={1: 100.0, 2: 200.0}, bandwidth=20e9)


def test_plan_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from groundup.plan import make_plan, plan_tables; "
        "from groundup.config import TrainConfig, preset; "
        "plan_tables(make_plan(preset('qwen3-30b-a3b'), TrainConfig())); "
        "print(sorted({'torch', 'numpy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_largest_plan_is_quick() -> None:
    config = preset("qwen3-30b-a3b")
    begun = time.process_time()
    plan = make_plan(config, TrainConfig(), train_tokens=1_000_000)
    json.dumps(plan.as_dict())
    plan_tables(plan)
    assert time.process_time() - begun < 0.05


def test_as_dict_is_json_with_exact_figures() -> None:
    plan = make_plan(preset("gpt2-124m"), TrainConfig(steps=10, batch_size=2), train_tokens=4096)
    table = json.loads(json.dumps(plan.as_dict()))
    assert table["parameters"] == plan.parameters == 124_439_808
    assert sum(table["parts"].values()) == 124_439_808
    assert [c["parameters"] for c in table["conventions"]] == [
        163_009_536,
        124_412_160,
        124_439_808,
    ]
    assert table["conventions"][0]["fp32_mib"] == 621.83
    memory = table["training_memory_bytes"]
    assert memory["total"] == sum(v for k, v in memory.items() if k not in ("total", "moment"))
    run = table["run"]
    assert (run["tokens"], run["passes"], run["least_seconds"]) == (20480, 5.0, None)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("settings", [{}, {"save": "background"}, {"precision": "bf16"}])
def test_the_known_terms_of_a_foreign_model_are_those_of_any(
    optimizer: str, settings: dict[str, Any]
) -> None:
    config, train = preset("nano"), TrainConfig(optimizer=optimizer, **settings)
    foreign, parameters = config.replace(norm="mine"), list(parameter_shapes(config))
    plan, usual = make_plan(foreign, train, parameters=parameters), make_plan(config, train)
    assert (plan.count.parts, plan.count.active) == (usual.count.parts, usual.count.active)
    assert plan.block == {part: size for part, size in usual.block.items() if size}
    assert plan.training is not None
    for term in ("weights", "optimizer", "process", "saving"):
        known = optimizer_memory(config, train) + muon_work(config, train)
        expected = known if term == "optimizer" else training_memory(config, train).terms.get(term)
        assert plan.training.terms.get(term) == expected, term
    assert plan.training.unknown == plan.unknown_memory == ("activations",)
    assert (plan.flops_per_token, plan.generation, plan.seconds) == (None, {}, None)
    words = dict(plan_rows(plan))
    assert words["Memory"].endswith(" + activations ?")
    assert "unknown" in words["Work"]
    assert plan_tables(plan)
    assert json.loads(json.dumps(plan.as_dict()))["training_memory_bytes"]["unknown"]


def test_a_foreign_part_is_not_guessed() -> None:
    foreign = preset("nano").replace(feed_forward="mine")
    for work in (make_plan, count_parameters, training_flops_per_token, generation_memory):
        with pytest.raises(ConfigError, match=r"^feed_forward = 'mine': "):
            work(foreign)


def test_plan_without_training() -> None:
    plan = make_plan(preset("nano"))
    assert plan.training is None
    assert plan.tokens is plan.tokens_per_step is plan.seconds is None
    assert plan.memory["cache"] > 0
    assert plan_rows(plan)
    assert plan_tables(plan)


def test_a_run_of_minutes_has_no_steps_until_its_speed_is_known() -> None:
    plan = make_plan(preset("nano"), TrainConfig(minutes=5), train_tokens=10_000)
    assert plan.steps is plan.tokens is plan.passes is None
    assert plan.tokens_per_step == TrainConfig().batch_size * 128
    assert "as time allows" in dict(plan_rows(plan))["Learns from"]


def test_rows_and_tables_are_rectangles_of_words() -> None:
    plan = make_plan(preset("gpt2-124m"), TrainConfig(), train_tokens=10**6, calibration=MEASURED)
    rows = dict(plan_rows(plan))
    assert "124,439,808 (tied, with query-key-value bias" in rows["Parameters"]
    assert rows["Storage"].startswith("474.70 MiB in fp32")
    assert rows["Time"].startswith("at least")
    for table in plan_tables(plan, "gpt2-124m"):
        for row in table.rows:
            assert len(row) == len(table.columns)
            assert all(isinstance(cell, str) for cell in row)
    conventions = next(t for t in plan_tables(plan) if t.title == "Conventions")
    assert [row[0][-1] == "*" for row in conventions.rows] == [False, False, True]


def test_a_mixture_shows_what_works_on_a_token() -> None:
    plan = make_plan(preset("mixtral-8x7b"), TrainConfig())
    assert plan.as_dict()["active_parameters"] == 12_879_925_248
    rows = dict(plan_rows(plan))
    assert rows["Parameters"] == "46,702,792,704 (untied), 12,879,925,248 at work on a token"
    assert "32 heads sharing 8 of keys and values, 8 experts, 2 of them" in rows["Model"]
    table = plan_tables(plan, "mixtral-8x7b")[0]
    assert table.rows[-1][:3] == ("at work on a token", "12,879,925,248", "27.6%")
    dense = make_plan(preset("gemma2-2b"))
    assert dense.as_dict()["active_parameters"] == dense.parameters
    assert plan_tables(dense)[0].rows[-1][0] == "total"
    assert "a window of 4,096 in 13 layers" in dict(plan_rows(dense))["Model"]


def test_fewer_experts_may_fit() -> None:
    config = preset("qwen3-30b-a3b", context_length=256)
    with pytest.raises(UsageError, match=r"n_experts=32\b"):
        check_fits(make_plan(config, TrainConfig(batch_size=1)), available=180 << 30)
    assert (
        training_memory(config.replace(n_experts=32), TrainConfig(batch_size=1)).total <= 180 << 30
    )


def test_an_impossible_size_is_refused_with_settings_that_fit() -> None:
    config, train = preset("gpt2-1558m"), TrainConfig(batch_size=16)
    with pytest.raises(UsageError) as refused:
        check_fits(make_plan(config, train), available=32 << 30)
    message = str(refused.value)
    assert "\n" not in message
    assert "weights 5,942 + gradients" in message
    assert "32,768 MiB are available" in message
    assert "batch_size=2 --set accumulation=8" in message
    smaller, larger = (TrainConfig(batch_size=n, accumulation=16 // n) for n in (2, 4))
    assert training_memory(config, smaller).total <= 32 << 30
    assert training_memory(config, larger).total > 32 << 30
    assert "n_layers=12" in message
    assert training_memory(config.replace(n_layers=12), train).total <= 32 << 30
    assert training_memory(config.replace(n_layers=24), train).total > 32 << 30


def test_no_single_change_may_help() -> None:
    with pytest.raises(UsageError, match="a smaller model"):
        check_fits(make_plan(preset("gpt2-1558m"), TrainConfig()), available=320 << 20)


def test_absurd_sizes_are_refused_at_once() -> None:
    begun = time.process_time()
    config = preset("nano", n_layers=1 << 24, emb_dim=1 << 20, n_heads=1 << 10)
    with pytest.raises(UsageError, match="MiB are available"):
        check_fits(make_plan(config, TrainConfig()))
    experts = preset("mixtral-8x7b", n_experts=1 << 24)
    with pytest.raises(UsageError, match="MiB are available"):
        check_fits(make_plan(experts, TrainConfig()))
    assert time.process_time() - begun < 0.5


def test_what_fits_or_is_unknown_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(preset("nano"), TrainConfig())
    check_fits(plan, available=plan.memory["total"])
    with pytest.raises(UsageError):
        check_fits(plan, available=plan.memory["total"] - 1)
    check_fits(make_plan(preset("gpt2-1558m"), TrainConfig(device="cuda", batch_size=4096)))
    monkeypatch.setattr("groundup.plan.plan.available_memory", lambda: None)
    check_fits(make_plan(preset("gpt2-1558m"), TrainConfig(batch_size=4096)))


def test_calibration_is_kept_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "calibration.json"
    assert load_calibration(path) is None
    assert MEASURED.save(path) == path
    assert load_calibration(path) == MEASURED
    assert MEASURED.machine == machine_fingerprint()
    for damage in (b"{", b"[]", b"{}", b'{"matmul_gflops": 3}', b"\xff"):
        path.write_bytes(damage)
        assert load_calibration(path) is None
    Calibration(device="cpu", matmul_gflops={1: 1.0}, bandwidth=1.0, machine="other").save(path)
    assert load_calibration(path) is None


def test_calibration_is_in_the_cache_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path))
    assert MEASURED.save() == tmp_path / "calibration.json"
    assert load_calibration() == MEASURED


def test_times_come_only_from_what_was_measured() -> None:
    config, train = preset("micro"), TrainConfig(threads=2)
    assert expected_step_seconds(config, train, None) is None
    assert expected_step_seconds(config, TrainConfig(threads=3), MEASURED) is None
    assert expected_step_seconds(config, TrainConfig(precision="bf16"), MEASURED) is None
    assert expected_step_seconds(config, TrainConfig(device="cuda"), MEASURED) is None
    two = expected_step_seconds(config, train, MEASURED)
    one = expected_step_seconds(config, TrainConfig(threads=1), MEASURED)
    assert one is not None
    assert two is not None
    products = train.batch_size * 256 * training_flops_per_token(config)
    assert one - two == pytest.approx(products / 200e9)
    assert two > products / 200e9
    plan = make_plan(config, TrainConfig(steps=50), calibration=MEASURED)
    assert plan.seconds == pytest.approx(50 * two)


def test_units() -> None:
    assert [number(x) for x in (0, 0.5, 950, 12_300, 124_439_808)] == [
        "0",
        "0.5",
        "950",
        "12,300",
        "124.4 M",
    ]
    assert [flop(x) for x in (950, 857.2e6, 1.683e18)] == ["950 FLOP", "857.2 MFLOP", "1.683 EFLOP"]
    assert [mib(x) for x in (1 << 20, 652_038_144)] == ["1.00 MiB", "621.83 MiB"]
    seconds = (0.42, 59.6, 200, 7200, 7500, 273_600, float("inf"))
    assert [duration(x) for x in seconds] == [
        "0.42 s",
        "1 min",
        "3 min 20 s",
        "2 h",
        "2 h 5 min",
        "3 d 4 h",
        "unknown",
    ]
