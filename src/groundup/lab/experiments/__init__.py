"""The experiments, a short file each."""
