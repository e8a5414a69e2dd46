"""The control plane: hands out configuration to proxies. Wired in :mod:`server.app`, operated through :mod:`server.cli`."""
