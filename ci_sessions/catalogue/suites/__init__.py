"""The suites: one file a family, each a few functions from a job to the tests that it runs.

A suite function takes the job and the facts of the checkout, and gives tests in the order in which
they run. It starts nothing. ``dispatch`` says which suite a job gets.
"""
