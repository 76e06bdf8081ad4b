"""Jobs of the service, end to end."""
