"""Terminals over SSH. :class:`runtime.adapters.ssh.remote.SshRemote` implements the engine's ``Remote``; main builds it.

Import the modules by name: asyncssh is loaded only by who connects.
"""
