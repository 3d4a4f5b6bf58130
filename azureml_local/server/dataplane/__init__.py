"""The services behind discovery, under Azure's names for them: one module for each, with a ``router``."""
