"""One job on one machine: its environment, inputs, outputs, process and supervisor, logs."""
