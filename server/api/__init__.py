"""Blueprints of the control plane, one a file. Registered by :func:`server.app.create_app`."""
