"""Workflows to run and to read, one folder each."""
