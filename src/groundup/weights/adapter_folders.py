"""An adapter of peft's whose base is a folder that its config names: beside it, or merged."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from groundup.adapters import merged_tensors
from groundup.base.errors import UsageError
from groundup.base.file_names import check_name
from groundup.base.files import new_path
from groundup.runs import RunFolder
from groundup.runs.manifest import SourceTable
from groundup.runs.tensor_file import Stored
from groundup.weights.adapter_runs import import_adapter
from groundup.weights.convert import Conversion, import_found, import_model
from groundup.weights.early_checks import check_adapter, named_base
from groundup.weights.formats import open_pretrained
from groundup.weights.peft import Adapters, check_unfolded, read_peft
from groundup.weights.pretrained import Pretrained


def import_merged(
    source: str | Path, dest: str | Path, *, trust_pickle: bool = False, verify: bool = True
) -> Conversion:
    """Bring the base that an adapter names into the run folder `dest`, with the adapter in it.

    Adapted matrices are in fp32, the others as the base has them. Raises `UsageError` where the
    base is no folder here.
    """
    begun = time.perf_counter()
    check_name(source)
    check_adapter(source)
    new_path(Path(dest))
    folder = _base(source)
    base = open_pretrained(folder, trust_pickle)
    check_unfolded(base.config, base.source.family, source)
    adapters = read_peft(Path(source), base.config, base.source.family)
    name = Path(source).resolve().name
    found = replace(
        base,
        tensors=base.tensors | _merged(base, adapters),
        source=SourceTable(format="peft", path=str(source), name=name, family=base.source.family),
        notices=[f"its base is {folder}, into which it was merged", *base.notices],
    )
    return import_found(found, source, dest, None, verify, begun)


def import_with_base(
    source: str | Path, dest: str | Path, *, trust_pickle: bool = False, verify: bool = True
) -> Conversion:
    """Bring an adapter into `dest`, beside a run of the base that it names, DEST-base.

    That run is made, or used where it is that base already. Raises `UsageError` where the base is
    no folder here.
    """
    check_name(source)
    check_adapter(source)
    out = new_path(Path(dest))
    folder, run = _base(source), out.with_name(f"{out.name}-base")
    if not _is_run_of(run, folder):
        import_model(folder, run, trust_pickle=trust_pickle, verify=verify)
    done = import_adapter(source, out, run, verify=verify)
    return replace(done, notices=(f"its base is {folder}, now the run {run}", *done.notices))


def _base(source: str | Path) -> Path:
    if (folder := named_base(source)) is None:
        raise UsageError(
            f"{source}: the base that this adapter names is no folder here; import it, and then "
            "this with --from RUN"
        )
    return folder


def _is_run_of(run: Path, folder: Path) -> bool:
    """Return whether there is a run already that `folder` was imported as."""
    if not (made := RunFolder(run)).path.is_dir() or not any(run.iterdir()):
        return False
    source = made.read().source
    return source is not None and source.path == str(folder)


def _merged(base: Pretrained, adapters: Adapters) -> dict[str, Stored]:
    """Return the matrices that adapters change; each is computed when it is read."""
    modules = {name.rpartition(".")[0] for name in adapters.tensors}
    scale = adapters.alpha / adapters.rank

    def merged(module: str) -> Tensor:
        own = {n: t for n, t in adapters.tensors.items() if n.rpartition(".")[0] == module}
        weight = f"{module}.weight"
        return merged_tensors({weight: base.tensors[weight].read()}, own, scale)[weight]

    return {
        f"{module}.weight": Stored(
            base.tensors[f"{module}.weight"].shape, torch.float32, partial(merged, module)
        )
        for module in modules
    }
