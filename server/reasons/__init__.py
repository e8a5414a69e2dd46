"""Why something is refused or fails: one table of codes, and the forms in which they reach callers. Used by every other room."""
