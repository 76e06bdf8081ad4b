"""Measurements of accuracy on twin experiments: `python -m benchmarks.accuracy --help`.

``plan`` says what a table is, ``tables`` which there are, ``runs`` makes and keeps the
runs, ``summary`` sums them up over seeds, ``report`` writes them into the page.
"""
