"""This server's own API: for its command line, and for workers on other machines."""
