"""What a cell's figures depend on, as a key: what was measured under another key is another figure.

In it are the resolved setting, the text, the code of the experiment, the versions and the machine.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any

import torch

from groundup import __version__
from groundup.base.hardware import cpu_model_line
from groundup.config import part_tables
from groundup.lab.experiment import Setting, Study
from groundup.model import Parts

DEEPEST = 12
INSTALLED = ("builtins", "groundup", "torch")
"""Packages whose classes their versions tell."""


def environment() -> dict[str, str]:
    """Return what the same setting may give other figures on: versions and the processor."""
    return {
        "groundup": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": cpu_model_line().partition(":")[2].strip() or cpu_model_line(),
    }


def cell_key(study: Study, setting: Setting, of_all: str) -> str:
    """Return the key of a cell of a study; `of_all` is what all cells depend on."""
    return digest([of_all, setting.cell, described(study.measure), setting_table(setting)])


def common_key(experiment: str, code: str, fingerprint: str) -> str:
    """Return what all cells of an experiment depend on; `fingerprint` is that of the text."""
    return digest([experiment, code, fingerprint, environment()])


def setting_table(setting: Setting) -> Any:
    """Return all of a setting but its cell, as plain values; equal ones measure the same."""
    model, parts = setting.reference
    return {
        "model": described(setting.config),
        "parts": _chosen(setting.config, setting.parts),
        "train": described(setting.train),
        "start": described(setting.start),
        "options": described(setting.options),
        "reference": [described(model), _chosen(model, parts)],
    }


def _chosen(config: Any, parts: Parts) -> Any:
    """Return the parts that a config names."""
    return {
        field: described(getattr(parts, table).get(getattr(config, field)))
        for field, (table, _) in part_tables().items()
    }


def described(value: Any, depth: int = 0) -> Any:
    """Return a value as plain ones that tell it from others: functions with what they hold."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth > DEEPEST:  # a function that holds itself
        return "…"

    def inner(*values: Any) -> list[Any]:
        return [described(one, depth + 1) for one in values]

    if isinstance(value, functools.partial):
        return ["partial", *inner(value.func, value.args, value.keywords)]
    if isinstance(value, MethodType):
        return ["method", *inner(value.__func__, value.__self__)]
    if isinstance(value, FunctionType):
        where = f"{value.__module__}.{value.__qualname__}"
        does = [where, _code(value.__code__), *inner(_held(value), value.__defaults__)]
        return does if _installed(value) else [*does, _helpers(value)]
    if isinstance(value, Mapping):
        return {str(key): described(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return inner(*value)
    name = f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else ""
    if isinstance(value, type) and not _installed(value):
        methods = {k: one for k, one in vars(value).items() if isinstance(one, FunctionType)}
        return [name, *inner(methods, value.__bases__)]
    if name:
        return name
    return inner(type(value), getattr(value, "__dict__", None))


def _held(function: FunctionType) -> list[Any]:
    """Return what a function has taken from where it was made."""
    held = []
    names = function.__code__.co_freevars
    for name, cell in zip(names, function.__closure__ or (), strict=True):
        if name == "__class__":  # which super() asks for
            continue
        try:
            held.append(cell.cell_contents)
        except ValueError:  # not yet
            held.append(None)
    return held


def _installed(value: Any) -> bool:
    return str(value.__module__).partition(".")[0] in INSTALLED


def _helpers(function: FunctionType) -> Any:
    """Return what a function takes from its own file: functions, methods, CONSTANTS.

    An experiment that only a program has is not known by its file.
    """
    found: dict[str, Any] = {}
    left: list[Any] = [function.__code__]
    while left:
        code = left.pop()
        left += [one for one in code.co_consts if isinstance(one, CodeType)]
        for name in set(code.co_names) & set(function.__globals__) - set(found):
            value = function.__globals__[name]
            of_class = vars(value).values() if isinstance(value, type) else [value]
            codes = [one.__code__ for one in of_class if isinstance(one, FunctionType)]
            if codes and value.__module__ == function.__module__:
                found[name] = list(map(_code, codes))
                left += codes
            elif name.isupper() and isinstance(value, bool | int | float | str):
                found[name] = value
    return found


def _code(code: CodeType) -> Any:
    """Return what a function does; two lambdas of one line have the same name."""
    return [code.co_code.hex(), *map(_constant, code.co_consts), *code.co_names]


def _constant(value: Any) -> Any:
    if isinstance(value, frozenset):  # its order is another in every process
        return sorted(map(repr, value))
    return _code(value) if isinstance(value, CodeType) else repr(value)


def digest(value: Any) -> str:
    """Return 24 hexadecimal digits that stand for a plain value."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
