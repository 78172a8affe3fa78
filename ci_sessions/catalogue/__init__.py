"""All that knows PyTorch: which job runs what, for which device, in which environment."""
