"""GitHub Actions: workflows as input, annotations and step summaries as output."""
