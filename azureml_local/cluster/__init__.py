"""Scheduling of runs: the queue and its nodes, orchestration, remote workers."""
