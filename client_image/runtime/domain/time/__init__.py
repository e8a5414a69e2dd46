"""Clocks, planned instants and time zone files, as rules over values. Pure."""
