"""Arrays in files of folders that the operator has named: too large for a body."""
