"""Who runs a job, Python or the shell, and what the records say about it."""
