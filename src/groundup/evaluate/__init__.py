"""What a model is worth on a text."""

from groundup.evaluate.loss import Evaluation, evaluate_loss

__all__ = ["Evaluation", "evaluate_loss"]
