"""A CI job as a value, read from the environment and the options."""
