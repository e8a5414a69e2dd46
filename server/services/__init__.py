"""Use cases of the control plane: functions over a connection or session. They know no HTTP; the API and the CLI call them."""
