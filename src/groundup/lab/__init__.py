"""Controlled experiments on this machine: arms, seeds, a prediction before and a verdict after."""
