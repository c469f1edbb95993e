"""An assistant: what learning from replies, preferences and rewards share."""
