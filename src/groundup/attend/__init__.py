"""Ways to compute attention from queries, keys and values, all with the same numbers.

`ways` has the readable one and the fused kernel, `blockwise` that of windows, bounds and 16 bits;
`mask` says who may look at whom, `soft_cap` what bounds the scores.
"""

from groundup.attend.blockwise import blockwise_attention
from groundup.attend.mask import CAUSAL, Mask
from groundup.attend.sinks import with_sink
from groundup.attend.soft_cap import Cap, soft_cap, uncapped
from groundup.attend.ways import Attend, attention_weights, fused_attention, plain_attention

__all__ = [
    "CAUSAL",
    "Attend",
    "Cap",
    "Mask",
    "attention_weights",
    "blockwise_attention",
    "fused_attention",
    "plain_attention",
    "soft_cap",
    "uncapped",
    "with_sink",
]
