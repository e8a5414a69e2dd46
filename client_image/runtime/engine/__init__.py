"""What drives any action on its subjects: a run, its gates, the convergence loop, the probe. Effects arrive as arguments."""
