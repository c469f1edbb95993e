"""An assistant by preferences: of two replies the chosen one is learnt."""
