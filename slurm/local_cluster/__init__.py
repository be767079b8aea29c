"""A real Slurm on one machine: for the tests, and to try a submission without a cluster."""
