"""Twin experiments at length: many runs, kept as they finish, then compared.

``methods`` names what is compared, ``work`` makes one run, ``pool`` many at once,
``records`` keeps runs on disk, ``code`` says by which engine, ``tables`` and
``pictures`` show them.
"""
