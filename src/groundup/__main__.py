"""`python -m groundup` is the command `groundup`."""

from groundup.cli import main

main()
