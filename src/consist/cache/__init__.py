"""Was it done before, and can it be given back."""
