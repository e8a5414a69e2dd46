"""One module an action, and the explicit registry that is the allow-list."""
