"""What `benchmarks.finetuning` measures: the data, and each suite with its cells."""
