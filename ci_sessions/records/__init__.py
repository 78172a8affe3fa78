"""What happened, as values, and the files that hold it."""
