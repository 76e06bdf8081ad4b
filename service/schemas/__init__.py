"""Models of everything in a request or an answer but the arrays themselves.

They validate what people type and document what machines send. Arrays are described
here and read in ``service.media``: a model would take booleans for numbers and an
event loop for its own.
"""
