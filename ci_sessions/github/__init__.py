"""GitHub's workflows as input, and its annotations and summaries as output."""
