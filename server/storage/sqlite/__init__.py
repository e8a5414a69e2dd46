"""What only an SQLite database needs: the file's identity, copies of it, free space, waiting for its lock."""
