"""Output for people: dry runs, the progress of a run, summaries and comparisons."""
