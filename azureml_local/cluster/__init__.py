"""What runs a job: the queue and its nodes, environments, inputs, the process."""
