"""What the tables have in common."""

from __future__ import annotations

from benchmarks.turns import Record


def machine(result: Record) -> str:
    facts, ceilings = result["machine"], result["ceilings"]
    return (
        f"Machine: {facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, "
        f"{facts['instructions']}; PyTorch {facts['torch']}, Python {facts['python']}; load before "
        f"the first turn {result['load_average']:.1f}. Ceilings measured in the same run: fp32 "
        f"matrix products {ceilings['gemm_flops'] / 1e9:,.0f} GFLOP/s, memory "
        f"{ceilings['bandwidth'] / 1e9:.1f} GB/s."
    )


def spread(values: Record, form: str) -> str:
    """Return the median, with the range of the rounds where there is one."""
    median, low, high = (form.format(values[key]) for key in ("median", "low", "high"))
    return median if low == high else f"{median} ({low} to {high})"
