"""Rows into the database, and back out of it."""

from consist.hot.ingest import IngestResult, ingest

__all__ = ["IngestResult", "ingest"]
