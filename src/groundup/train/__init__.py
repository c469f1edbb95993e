"""Training, from the request to the finished run: the job, the driver, the loop, what is recorded.

Each name is imported on first use: what is refused without torch does not wait for it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from groundup.base.lazy import on_first_use
from groundup.base.rooms import Room

if TYPE_CHECKING:
    from groundup.optim.fused_loss import fused_loss as fused_loss
    from groundup.optim.optimizer import build_optimizer as build_optimizer
    from groundup.optim.schedule import learning_rate as learning_rate
    from groundup.optim.step import TrainStep as TrainStep
    from groundup.optim.step import plain_loss as plain_loss
    from groundup.train.api import train as train
    from groundup.train.api import train_run as train_run
    from groundup.train.choices import Choices as Choices
    from groundup.train.choices import choose as choose
    from groundup.train.driver import Outcome as Outcome
    from groundup.train.driver import TrainRun as TrainRun
    from groundup.train.driver import drive as drive
    from groundup.train.job import Job as Job
    from groundup.train.listener import Listener as Listener
    from groundup.train.loop import Trainer as Trainer
    from groundup.train.progress import Progress as Progress
    from groundup.train.recorder import Recorder as Recorder
    from groundup.train.request import TrainRequest as TrainRequest
    from groundup.train.screen import ConsoleScreen as ConsoleScreen
    from groundup.train.start import new_model as new_model

_MODULES = {
    "train": "api",
    "Choices": "choices",
    "choose": "choices",
    "Listener": "listener",
    "Trainer": "loop",
    "fused_loss": "groundup.optim.fused_loss",
    "plain_loss": "groundup.optim.step",
    "build_optimizer": "groundup.optim.optimizer",
    "Progress": "progress",
    "Recorder": "recorder",
    "TrainRequest": "request",
    "Job": "job",
    "drive": "driver",
    "TrainRun": "driver",
    "Outcome": "driver",
    "train_run": "api",
    "learning_rate": "groundup.optim.schedule",
    "ConsoleScreen": "screen",
    "new_model": "start",
    "TrainStep": "groundup.optim.step",
}

__all__ = [*_MODULES]
__getattr__ = on_first_use("groundup.train", _MODULES)
sys.modules[__name__].__class__ = Room
