"""The HTTP edge: knows Azure's wire shapes, and nothing of files, processes or SQL."""
