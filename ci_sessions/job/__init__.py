"""A CI job as a value: what the environment and the options ask for."""
