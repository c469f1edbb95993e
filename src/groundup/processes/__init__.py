"""One process or many that train together.

`alone` says what they do, `distributed` does it for many, `exact` in the same bits for any number;
`launch` reads what a launcher says, `together` takes the one that fits, `heartbeat` notices who is
lost, `deadline` ends what would wait.
"""
