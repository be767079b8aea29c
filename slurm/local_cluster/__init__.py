"""A real Slurm on one machine: for the tests, and for whoever wants to try a submission before a cluster sees it."""
