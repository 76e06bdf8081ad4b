"""The version of engine and service, in one place."""

__version__ = "0.1.0"
