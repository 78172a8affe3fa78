"""See _check.py."""

from _check import main

main("graph_breaks")
