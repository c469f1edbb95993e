"""Programs that PyTorch's compiler has made loops of, kept for all processes of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from zipfile import is_zipfile

import torch
from torch import Tensor

from groundup.base.errors import UsageError
from groundup.base.files import cache_folder, unfinished_path
from groundup.base.hardware import cpu_model_line

SETTINGS = {"realize_reads_threshold": 1, "cpp.dynamic_threads": True}
"""Of the compiler: what a matrix multiplies is worked out once, not again for each of its rows, and
the threads are those of the moment."""
COMPILING = "compiling a step for models of this shape, once on this machine: about 20 seconds"
ELSE = "write without --compile"
SIZE = r"\bs\d+\b"
"""What `torch.export` calls a size that is not fixed; the number is another each time."""
COMPILER_FOLDER = "TORCHINDUCTOR_CACHE_DIR"

Program = torch.export.ExportedProgram
Loop = Callable[[list[Tensor]], list[Tensor]]


def loop_of(program: Program, told: Callable[[], None]) -> Loop:
    """Return a program as it was compiled before, or now."""
    path = cache_folder() / "compiled" / f"{_key_of(program)}.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not is_zipfile(path):  # it is absent, or cut off
            told()
            _compile(program, path)
        try:
            run: Loop = torch._inductor.aoti_load_package(str(path)).loader.boxed_run
        except RuntimeError as error:
            raise UsageError(
                f"{path}: not loaded ({_first_line(error)}); remove it, or {ELSE}"
            ) from error
    return run


def _key_of(program: Program) -> str:
    """Return a name for what a program is compiled to: by what it does, and where."""
    text = program.graph_module.print_readable(print_output=False)
    text = re.sub(r"#.*", "", text)  # where each line comes from
    sizes = {name: f"size{n}" for n, name in enumerate(dict.fromkeys(re.findall(SIZE, text)))}
    text = re.sub(SIZE, lambda found: sizes[found[0]], text)
    facts = (text, torch.__version__, cpu_model_line(), str(SETTINGS))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _compile(program: Program, path: Path) -> None:
    """Write what a program is compiled to; nothing is left of it where that fails."""
    from torch._inductor.exc import CppCompileError, InductorError, InvalidCxxCompiler

    package = BytesIO()  # torch ends the process where a file that it writes finds no room
    with unfinished_path(path) as unfinished:
        try:
            with _compiler_works_in(unfinished.parent):
                torch._inductor.aoti_compile_and_package(
                    program, package_path=package, inductor_configs=dict(SETTINGS)
                )
        except (InductorError, InvalidCxxCompiler, CppCompileError) as error:
            if isinstance(cause := getattr(error, "inner_exception", None), OSError):
                raise cause from None
            raise UsageError(
                f"no compiler of C++ works here ({_first_line(error)}); install g++, or name one "
                f"in CXX, or {ELSE}"
            ) from error
        unfinished.write_bytes(package.getbuffer())
        os.replace(unfinished, path)


@contextlib.contextmanager
def _compiler_works_in(folder: Path) -> Iterator[None]:
    """Keep its files there: in the folder that all processes share, one reads another's halves."""
    from torch._inductor.utils import clear_caches

    before = os.environ.get(COMPILER_FOLDER)
    os.environ[COMPILER_FOLDER] = str(folder)
    clear_caches()  # which know the folder before
    try:
        yield
    finally:
        if before is None:
            del os.environ[COMPILER_FOLDER]
        else:
            os.environ[COMPILER_FOLDER] = before
        clear_caches()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
