"""How long things may take to stop, in seconds, for both sides that must agree: the daemon and its runs, and the deploy that
describes the container to the engine."""

GRACE_S = 120.0
"""What hosts at work get when a run is asked to stop."""

LAST_WORDS_S = 15.0
"""What a run needs to record its results after that."""

CONTAINER_STOP_S = 150
"""When the engine kills a container that it was asked to stop: after both, with a margin."""
