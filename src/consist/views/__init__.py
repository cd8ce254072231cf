"""Hot rows and cold files as one relation."""
