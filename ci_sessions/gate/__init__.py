"""The choice between Python and the shell for each job, and the evidence in the records."""
