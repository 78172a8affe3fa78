"""A PyTorch checkout: where it is, its version, and which features it has."""
