"""What engine, Watchtower and the publish gate call inside the container, one program a module."""
