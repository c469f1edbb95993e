"""What `benchmarks.instructing` measures: each suite with its cells."""

GROUP = "assistant-"
"""What the folders of its cells begin with: those of classifiers lie beside them."""
