"""Arrows between rooms go down only; heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import groundup

PACKAGE = Path(groundup.__file__).parent
LAYERS = [
    {"__init__", "__main__", "harness"},
    {"cli", "serve"},
    {"lab", "finetune"},
    {"train"},
    {"generate", "evaluate", "weights", "report"},
    {"runs", "optim"},
    {"adapters", "quantized", "processes"},
    {"model", "data", "plan", "device"},
    {"attend", "tokenizer"},
    {"config"},
    {"base"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
SIDEWAYS = {("data", "tokenizer")}
ROOMS = sorted(
    p.stem for p in PACKAGE.iterdir() if p.name != "__pycache__" and p.name != "py.typed"
)
"""The folders of the package, and the modules that stand beside them."""


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""


def room_imports(room: str) -> Iterator[tuple[Path, str]]:
    for file in [*(PACKAGE / room).rglob("*.py"), *PACKAGE.glob(f"{room}.py")]:
        yield from ((file, name) for name in imports(file))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_below(room: str) -> None:
    assert room in LEVEL, f"{room} has no place in the house"
    for file, name in room_imports(room):
        parts = name.split(".")
        if parts[0] != "groundup" or len(parts) == 1 or parts[1] == room:
            continue
        assert LEVEL[parts[1]] > LEVEL[room], f"{file} imports {name}: not below {room}"


def module_graph(package: Path) -> dict[str, set[str]]:
    """Return which modules of a package each of them names in an import, wherever it stands.

    Imports inside of functions and under TYPE_CHECKING count: a reader follows those, too.
    """
    files = {}
    for file in package.rglob("*.py"):
        parts = file.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts).removesuffix(".__init__")] = file
    graph: dict[str, set[str]] = {name: set() for name in files}
    for name, file in files.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[name] |= found if found <= files.keys() else found | {node.module}
    return {name: named & files.keys() - {name} for name, named in graph.items()}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = module_graph(PACKAGE)
    # The front door names what it offers, each on first use; modules below ask for its version.
    del graph["groundup"]
    TopologicalSorter(graph).prepare()  # raises CycleError, which lists the circle


@pytest.mark.parametrize(
    "back", ["from small import a", "def f():\n    from small.a import X", "import small.a"]
)
def test_a_circle_is_found_wherever_the_import_stands(tmp_path: Path, back: str) -> None:
    package = tmp_path / "small"
    package.mkdir()
    (package / "__init__.py").write_text("from small.a import X")
    (package / "a.py").write_text("from small.b import Y\nX = Y")
    (package / "b.py").write_text(f"{back}\nY = 1")
    assert module_graph(package)["small.b"] == {"small.a"}
    with pytest.raises(CycleError):
        TopologicalSorter(module_graph(package)).prepare()


@pytest.mark.parametrize(
    ("room", "ours"), [("model", ("config", "attend", "model")), ("attend", ("attend",))]
)
def test_the_architecture_knows_only_torch_and_its_config(room: str, ours: tuple[str, ...]) -> None:
    standard = {
        "__future__",
        "collections",
        "contextlib",
        "dataclasses",
        "functools",
        "inspect",
        "math",
    }
    known = {*standard, "typing", "torch", "jaxtyping"}
    for file, name in room_imports(room):
        start, *rest = name.split(".")
        allowed = start in known or (start == "groundup" and rest[0] in ours)
        assert allowed, f"{file} imports {name}"


@pytest.mark.parametrize("room", ["base", "config", "tokenizer", "data", "plan", "cli"])
def test_light_rooms_never_import_torch(room: str) -> None:
    code = f"import sys, groundup.{room}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def packages_beside_torch(statement: str) -> set[str]:
    """What a statement loads that torch has not loaded before: packages, and parts of torch."""
    code = (
        f"import sys, torch, numpy; before = set(sys.modules); {statement}; "
        "print(*{m if m.startswith('torch.') else m.split('.')[0] for m in "
        "set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split()) - sys.stdlib_module_names


@pytest.mark.parametrize("statement", ["import groundup", "from groundup import GPT, preset"])
def test_the_package_loads_next_to_nothing_beside_torch(statement: str) -> None:
    assert packages_beside_torch(statement) <= {"groundup", "jaxtyping", "wadler_lindig", "numpy"}


def test_writing_loads_only_what_it_needs() -> None:
    loaded = packages_beside_torch("import groundup.generate, groundup.runs.load")
    heavy = {"tokenizers", "jinja2", "typer", "rich", "pydantic", "transformers", "gguf", "pyarrow"}
    assert not heavy & loaded
    assert not {name for name in loaded if name.startswith(("torch._dynamo", "torch._inductor"))}


def test_continuing_a_text_loads_nothing_that_reads_texts() -> None:
    code = (
        "import sys, groundup.runs.load; from groundup.generate import run_settings, stream; "
        "print(*(name for name in sys.modules if name.startswith('groundup.data')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.split()


def test_planning_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, groundup.plan; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_distributed_knows_torch_distributed() -> None:
    for room in ROOMS:
        for file, name in room_imports(room):
            assert not name.startswith("torch.distributed") or file.stem == "distributed", file


def test_every_public_name_exists() -> None:
    for name in dir(groundup):
        assert getattr(groundup, name) is not None
