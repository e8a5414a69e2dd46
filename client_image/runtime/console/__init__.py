"""What operators see: tables, progress and plain lines of runs, and the commands that only look. Used by main."""
