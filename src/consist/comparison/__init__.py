"""What differs between two runs or two scenarios, down to the rows of their outputs."""
