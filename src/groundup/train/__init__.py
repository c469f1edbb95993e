"""Training: the step, the loop, the optimizer and its schedule, and what a run records."""

import sys

from groundup.base.rooms import Room
from groundup.train.api import train
from groundup.train.assemble import assemble
from groundup.train.choices import Choices, choose
from groundup.train.listener import Listener
from groundup.train.loop import Trainer
from groundup.train.loss import fused_loss, plain_loss
from groundup.train.optimizer import build_optimizer
from groundup.train.progress import Progress
from groundup.train.request import TrainRequest
from groundup.train.run import Outcome, train_run
from groundup.train.schedule import learning_rate
from groundup.train.screen import ConsoleScreen
from groundup.train.start import new_model
from groundup.train.step import TrainStep

__all__ = [
    "Choices",
    "ConsoleScreen",
    "Listener",
    "Outcome",
    "Progress",
    "TrainRequest",
    "TrainStep",
    "Trainer",
    "assemble",
    "build_optimizer",
    "choose",
    "fused_loss",
    "learning_rate",
    "new_model",
    "plain_loss",
    "train",
    "train_run",
]

sys.modules[__name__].__class__ = Room
