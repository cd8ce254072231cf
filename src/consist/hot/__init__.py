"""Rows into the database, and back out of it."""
