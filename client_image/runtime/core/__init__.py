"""Pure: model, pipeline, catalogue, gates. Imports no library that does I/O; effects arrive as arguments."""
