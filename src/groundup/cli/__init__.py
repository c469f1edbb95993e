"""The command `groundup`: a thin layer over the rooms, and the only one that prints and exits."""

from groundup.cli.app import main

__all__ = ["main"]
