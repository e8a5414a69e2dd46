"""What crosses the wire between control plane and proxy, defined once. No I/O; imports neither side."""
