"""Backups of an SQLite database: made while the server runs, put back while it does not."""
