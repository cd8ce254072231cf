"""Scripts that are measured in processes of their own; each prints JSON as its last line."""
