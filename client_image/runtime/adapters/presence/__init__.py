"""Whether machines answer, asked from outside SSH. ``watch.NetworkWatch`` is the engine's ``Watch``; wiring builds it."""
