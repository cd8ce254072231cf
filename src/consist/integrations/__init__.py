"""What speaks to other people's tools."""
