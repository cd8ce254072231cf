"""Begin, execute, record and end runs."""
