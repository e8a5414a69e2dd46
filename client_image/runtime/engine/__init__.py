"""What drives any action on its subjects: a run, its gates, the drivers, the probe. Effects arrive as arguments."""
