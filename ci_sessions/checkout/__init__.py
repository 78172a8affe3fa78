"""A PyTorch tree: where it is, its version, which features its own files have."""
