"""Plans: frozen descriptions of what a job runs, and their shell text."""
