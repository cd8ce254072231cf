"""``python -m consist.cli`` is the same as ``consist``."""

from consist.cli import main

main()
