# FlageeMonitor Proxy, flageemonitor-logs: a stand-in.
'logs: $env:HOME `n "quoted"' -f $args
