"""The edges: Zabbix, SSH, control plane, local state. They know core, never each other or an action."""
