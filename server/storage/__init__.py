"""What the control plane keeps: models, sessions, encryption at rest, migrations. Called by :mod:`server.services`."""
