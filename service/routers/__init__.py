"""The endpoints: HTTP in, HTTP out, and nothing decided in between."""
