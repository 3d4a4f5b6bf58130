"""Execution of one job on one machine: environment, inputs, outputs, process and supervisor, logs."""
