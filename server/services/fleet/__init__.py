"""The whole fleet at one look, for people."""
