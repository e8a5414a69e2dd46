"""What the daemon keeps going, a duty a module: the schedule as jobs, and the runs that they start."""
