"""How an experiment is run: its cells in processes of their own, kept, and gone on with."""
