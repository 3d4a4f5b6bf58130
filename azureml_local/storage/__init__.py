"""Persistence: one state folder with an SQLite database and blobs as files."""
