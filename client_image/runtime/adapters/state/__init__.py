"""The proxy's memory on disk: runs and their results, outbox, host keys, locks. Shared by daemon, manual runs and commands.

Import the modules by name; nothing is imported here, so that who only wants a file lock does not load SQLAlchemy.
"""
