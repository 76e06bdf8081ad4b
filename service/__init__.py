"""HTTP around the engine: analyses, sessions, and everything a client meets.

Importing this package starts nothing and reads nothing; ``service.app.build_app``
makes an application, ``service.client`` talks to one.
"""
