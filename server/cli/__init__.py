"""``flagee-server``, the operator's command line, one module a noun; :mod:`server.cli.root` puts them together."""

from server.cli.root import cli, main

__all__ = ["cli", "main"]
