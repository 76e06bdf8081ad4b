"""The same analysis in the words of neighbouring protocols; each is switched on alone.

Thin on purpose: authentication, limits, deadlines and the analysis itself are those of
``POST /v1/analyses``; only the shapes of requests, answers and errors are others.
"""
