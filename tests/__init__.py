"""Tests, by the room of the code they are about."""
