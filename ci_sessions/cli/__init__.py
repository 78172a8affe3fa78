"""The verbs: one module each, called by the nox sessions and by ``python -m ci_sessions``."""
