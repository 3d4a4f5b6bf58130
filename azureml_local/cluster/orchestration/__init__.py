"""Runs that start other runs: sweeps, with their sampling and policies."""
