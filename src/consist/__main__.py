"""``python -m consist``: the command line's second door."""

from consist.cli import main

main()
