"""The maths of an optimizer step: `step` joins model and loss, `cross_entropy` is the loss.

`optimizer`, `muon` and `schedule` move the weights. `narrow`, `tied`, `balance`, `compiled` and
`activation_checkpointing` attach from outside.
"""
