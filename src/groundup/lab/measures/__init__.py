"""What cells measure: trainings, first passes of untrained models, and what to make of both."""
