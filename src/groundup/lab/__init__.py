"""Controlled experiments on this machine: arms, seeds, a prediction before and a verdict after.

Each name is imported on first use: what is refused without torch does not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundup.base.lazy import on_first_use

if TYPE_CHECKING:
    from groundup.lab.experiment import AT_INITIALISATION as AT_INITIALISATION
    from groundup.lab.experiment import TRAINED as TRAINED
    from groundup.lab.experiment import Arm as Arm
    from groundup.lab.experiment import Experiment as Experiment
    from groundup.lab.experiment import ExperimentReport as ExperimentReport
    from groundup.lab.experiment import Finding as Finding
    from groundup.lab.experiment import Prediction as Prediction
    from groundup.lab.experiment import Results as Results
    from groundup.lab.experiment import Setting as Setting
    from groundup.lab.experiment import Study as Study
    from groundup.lab.measures.training import PLAIN as PLAIN
    from groundup.lab.measures.training import train_arm as train_arm
    from groundup.lab.own import compare_arms as compare_arms
    from groundup.lab.running.run import run_experiment as run_experiment

_MODULES = {
    **dict.fromkeys(
        (
            "AT_INITIALISATION",
            "TRAINED",
            "Arm",
            "Experiment",
            "ExperimentReport",
            "Finding",
            "Prediction",
            "Results",
            "Setting",
            "Study",
        ),
        "experiment",
    ),
    "compare_arms": "own",
    "run_experiment": "running.run",
    "PLAIN": "measures.training",
    "train_arm": "measures.training",
}
__all__ = sorted(_MODULES)

__getattr__ = on_first_use(__name__, _MODULES)
