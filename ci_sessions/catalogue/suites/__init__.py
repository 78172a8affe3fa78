"""The test suites, one module per family.

A suite function takes the job and the facts of the checkout and returns tests in execution order.
It runs nothing. ``catalogue.table`` decides which suites a job runs.
"""
