"""One module for each Azure service, under Azure's name for it; each has a ``router``."""
