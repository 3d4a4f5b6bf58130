"""HTTP support for all APIs: the protocol with its limits, bodies, ranges, open streams."""
