"""Access control: the guard and the gate before all routes, tokens, permissions, certificates."""
