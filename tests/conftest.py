"""Shapes and types of the architecture's signatures are checked while testing."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

CHECKED = ["groundup.model", "groundup.optim.fused_loss", "groundup.optim.step"]
if not torch.cuda.is_available():  # there tests compile these, which the checks prevent
    install_import_hook(CHECKED, "beartype.beartype")

if "PYTEST_XDIST_WORKER" in os.environ:  # where threads would wait for each other's cores
    torch.set_num_threads(1)

# How long an example takes depends on what else the machine does.
settings.register_profile("groundup", deadline=None)
settings.load_profile("groundup")

# Before a test imports transformers: it must not look for a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs that tests begin are this user's by a key that no other run has."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(0)
