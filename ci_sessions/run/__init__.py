"""Runs a plan: starts processes, runs the steps in order, cleans up, evaluates the results."""
