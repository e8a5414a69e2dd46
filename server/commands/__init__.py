"""The commands of ``flagee-server``, one module for each noun. Put together in :mod:`server.cli`."""
