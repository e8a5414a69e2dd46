"""Telemetry of agents: reading a batch, storing it once, quotas, and how long it is kept."""
