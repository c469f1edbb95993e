"""What `benchmarks.instructing` measures: each suite with its cells."""
