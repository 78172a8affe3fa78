"""What people read: a dry run, a run as it goes on, and the last screenful of it."""
