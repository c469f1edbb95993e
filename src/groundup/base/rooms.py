"""A room whose name is also that of its verb: `groundup.train` is a module, `train` is in it."""

from __future__ import annotations

from types import ModuleType
from typing import NoReturn


class Room(ModuleType):
    """A module that says, where it is called like its verb, how the verb is imported."""

    def __call__(self, *arguments: object, **settings: object) -> NoReturn:
        """Refuse the call."""
        verb = self.__name__.rpartition(".")[2]
        raise TypeError(f"{self.__name__} is a module; write: from {self.__name__} import {verb}")
