"""An assistant by replies: what the answers in dialogues say is learnt."""
