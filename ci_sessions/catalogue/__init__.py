"""Everything specific to PyTorch: what each job runs, on which device, in which environment."""
