"""How this image runs itself on a host: specification, candidate, update, repair, rollback. Called by runtime.deploy alone.

Runs as root in a one-shot container with the engine's socket. What is decided is pure (specification, repair_rules); the engine,
the host's folders and the clock arrive as arguments. docs/architecture.md has the modules, pyproject.toml what they may import.
"""
