"""Records of runs: the values, and the files that they are stored in."""
