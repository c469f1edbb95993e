"""An assistant by rewards: replies of its own that are right are learnt."""
