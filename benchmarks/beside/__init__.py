"""Fine-tuning beside transformers with peft: what the suites of speed share."""
