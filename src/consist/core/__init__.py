"""The tracker, and how to configure one."""
