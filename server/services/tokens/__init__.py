"""Tokens: what lets a caller in, and how they are issued, listed, used and ended."""
