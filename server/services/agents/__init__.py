"""Agents: the installed proxies, and how a host becomes one."""
