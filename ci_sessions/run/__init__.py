"""Running a plan: processes, the order of steps, clean-up, and what each step came to."""
