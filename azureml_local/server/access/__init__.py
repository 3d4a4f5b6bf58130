"""Who may ask for what: the guard and the gate before all routes, tokens, permissions, certificates."""
