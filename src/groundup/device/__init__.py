"""What this machine is and can do: its threads, its allocator, its rates, its facts."""
