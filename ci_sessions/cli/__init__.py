"""The commands, one module each, for the nox sessions and ``python -m ci_sessions``."""
