"""Many runs under one roof."""
