"""The front end of deployed models."""
