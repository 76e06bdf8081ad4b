"""Jobs: work that a client does not wait for, and that survives a restart."""
