"""Build the sdist and the wheel, install each into a fresh environment, and run what was installed.

`make package` runs it. The dependencies are those of the environment that runs it: a .pth file
lends them, so that nothing large is fetched again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
IMPORT = "import groundup; from groundup import GPTConfig; print(groundup.__file__)"


def run(*words: object, cwd: Path) -> str:
    command = [str(word) for word in words]
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def check_contents(wheel: Path, sdist: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "groundup/py.typed" in names, names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names), names
    others = [n for n in names if not n.startswith(("groundup/", "groundup-"))]
    assert not others, f"the wheel has more than the package: {others}"
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("LICENSE", "README.md", "Makefile", "pyproject.toml", "tests/check_package.py"):
        assert name in inside, f"the sdist lacks {name}"


def check_installed(package: Path, folder: Path) -> None:
    """Install `package` into a fresh environment in `folder` and run it there."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(
        run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=folder).strip()
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    run(*pip, "install", "--quiet", "--no-deps", package, cwd=folder)
    # Plain paths in a .pth come after the environment's own packages, and run no .pth of theirs:
    # an editable install of this very project stays out.
    (site / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    command = folder / "bin" / "groundup"
    imported = Path(run(python, "-c", IMPORT, cwd=folder).strip())
    assert site in imported.parents, f"{imported} is not what was installed"
    version = run(command, "--version", cwd=folder).split()
    assert version[0] == "groundup", version
    assert version[1] in package.name, (version, package.name)
    assert "Parameters" in run(command, "plan", "nano", cwd=folder).title()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT, cwd=folder)
        [wheel] = (folder / "dist").glob("*.whl")
        [sdist] = (folder / "dist").glob("*.tar.gz")
        check_contents(wheel, sdist)
        for number, package in enumerate((wheel, sdist)):
            check_installed(package, folder / f"environment{number}")
        print(f"{wheel.name} and {sdist.name}: built, installed and run")


if __name__ == "__main__":
    main()
