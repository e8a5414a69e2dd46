"""The installer of a network: its script, the files that it is made from, and the line that fetches it."""
