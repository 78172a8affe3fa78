"""PyTorch's CI test configurations as nox sessions.

A noxfile needs one line: ``import ci_sessions.sessions``. Without nox: ``python -m ci_sessions``.
"""

__version__ = "0.1.0"
