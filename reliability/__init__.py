"""What the service survives, measured on real processes of this machine's loopback.

``make reliability`` runs everything at full length and writes ``reliability/results``
and the tables of ``docs/reliability.md``; ``tests/reliability`` runs the same code for
seconds. Nothing here is part of the product.
"""
