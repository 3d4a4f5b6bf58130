"""Who runs what, where and when: the queue and its nodes, orchestration, workers on other machines."""
