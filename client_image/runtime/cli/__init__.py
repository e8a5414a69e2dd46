"""The commands of `flageemonitor-run`: options, and what people see. Used by main."""
