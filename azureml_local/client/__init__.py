"""What points a process at a server: its instance, environment variables, config.json, trust, start-up hook."""
