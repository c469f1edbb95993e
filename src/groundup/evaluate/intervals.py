"""95% intervals: of a share of examples, and of resampled values."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from groundup.runs.classification import Interval

CONFIDENCE = 0.95


def ends_of(values: npt.NDArray[np.float64]) -> Interval:
    """Return the ends between which 95% of the values lie, as many above as below."""
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def wilson(right: float, n: int) -> Interval:
    """Return the 95% interval of a share of n examples (Wilson, 1927).

    It holds where all or none are right, and stays within 0 and 1 (Brown, Cai, DasGupta, 2001).
    `right` may also be a sum of n values between 0 and 1: as these vary no more than right and
    wrong do at the same mean, the interval of their mean is then rather too wide than too narrow.
    """
    z = 1.959963984540054  # of the normal distribution, for 95%
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)
