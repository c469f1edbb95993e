"""What `benchmarks.instructing` measures: each suite with its cells."""

GROUP = "assistant-"
"""What the folders of its cells begin with: those of classifiers lie beside them."""
FORGETTING = 0.03
"""How much worse a byte of general text may be."""
WAYS = {
    "answers": "from answers",
    "more-answers": "goes on from answers",
    "reward": "goes on from a reward",
}
"""How a small model learns, where a reward is measured."""
