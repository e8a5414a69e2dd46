"""What `make demo` shows: the product at work on simulated terminals, without root, Docker or Zabbix."""
