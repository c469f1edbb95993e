"""What cells measure: trainings, and first passes of untrained models."""
