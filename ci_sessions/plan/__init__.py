"""What a job runs, as frozen values, and the shell text that shows and runs it."""
