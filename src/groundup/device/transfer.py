"""From this machine's memory to the device's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Return the array as a tensor there; a CUDA device fetches it when its queue comes to it.

    From ordinary memory it would have to finish its queue first, and idle until there is more.
    """
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
