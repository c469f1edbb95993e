"""What the tables have in common."""

from __future__ import annotations

from benchmarks.turns import OTHERS_AT_MOST, Record


def machine(result: Record) -> str:
    facts, ceilings = result["machine"], result["ceilings"]
    return (
        f"Machine: {facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, "
        f"{facts['instructions']}; PyTorch {facts['torch']}, Python {facts['python']}; load before "
        f"the first turn {result['load_average']:.1f}.{beside(result)} Ceilings measured in the "
        f"same run: fp32 matrix products {ceilings['gemm_flops'] / 1e9:,.0f} GFLOP/s, memory "
        f"{ceilings['bandwidth'] / 1e9:.1f} GB/s."
    )


def beside(result: Record) -> str:
    """Say what other programs took beside the turns, and what was thrown away for it."""
    load = result.get("load")
    if not load or not load["others"]:
        return ""
    others, thrown_away = load["others"], load["thrown_away"]
    said = f" Other programs used {others['median']:.2f} cores beside a turn, {others['high']:.2f}"
    said += f" at most; rounds thrown away for more than {OTHERS_AT_MOST}: {thrown_away}."
    loud = " The machine did not get quiet: take these figures as they are."
    return said + loud * (others["high"] > OTHERS_AT_MOST)


def spread(values: Record, form: str) -> str:
    """Return the median, with the range of the rounds where there is one."""
    median, low, high = (form.format(values[key]) for key in ("median", "low", "high"))
    return median if low == high else f"{median} ({low} to {high})"
