"""Zabbix, read through its JSON-RPC API: 6.0 to 7.4, always with an API token."""
