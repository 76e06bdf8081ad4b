"""The service as its clients meet it."""
