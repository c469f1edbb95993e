"""Speed, memory and quality of groundup beside its peers, measured in one run."""
