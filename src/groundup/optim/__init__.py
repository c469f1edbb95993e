"""The maths of an optimizer step: `step` has the loss, `optimizer`, `muon`, `schedule` the move.

From outside attach, for speed and memory, `fused_loss`, `narrow`, `tied`, `compiled` and
`activation_checkpointing`; for a mixture of experts `balance`; for checkpoints `optimizer_state`.
"""
