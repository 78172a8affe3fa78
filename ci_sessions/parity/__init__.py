"""Checks that a plan runs what the checkout's own script runs: trace, compare, report."""
