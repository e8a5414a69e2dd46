"""Operators: who may look at the fleet, and act on it."""
