"""The standard conclusions of a study: differences from an arm, slopes, sweeps.

Each is pure: results in, a finding out. What is not finite, such as the loss of a run that was
lost, is told by number and goes into no mean.
"""

from __future__ import annotations

from groundup.lab.conclusions.differences import differences
from groundup.lab.conclusions.predicted import HIGHER, LOWER, NO_DIFFERENCE
from groundup.lab.conclusions.slopes import slopes
from groundup.lab.conclusions.sweeps import sweep

__all__ = ["HIGHER", "LOWER", "NO_DIFFERENCE", "differences", "slopes", "sweep"]
