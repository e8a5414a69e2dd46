"""Real parts for tests: each module starts one part as a context manager on loopback, and stops it by its own pid.

Tests, benches and the demo's own checks call these; `fixtures.py` puts pytest fixtures on top. Nothing here imports pytest
except `fixtures.py`. What can be absent from a machine is asked for by `need.need`.
"""
