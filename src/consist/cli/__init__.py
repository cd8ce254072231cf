"""The command line: words in, tables out."""

from consist.cli.app import app, main

__all__ = ["app", "main"]
