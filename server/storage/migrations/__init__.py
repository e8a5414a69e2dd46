"""Alembic's folder: ``env.py`` and one module a revision. Run by :mod:`server.storage.schema`."""
