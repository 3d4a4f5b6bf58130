"""What every API uses of HTTP: the protocol with its limits, bodies, ranges, open streams."""
