"""How this image runs itself on a host: specification, candidate, swap, repair, rollback. Called by runtime.deploy alone.

Runs as root in a one-shot container with the engine's socket. What is decided is pure (spec, drift, decisions); the engine, the
host's folders and the clock arrive as arguments.
"""
