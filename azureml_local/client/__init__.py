"""Configuration of client processes: the server's instance, environment variables, config.json, trust, start-up
hook.
"""
