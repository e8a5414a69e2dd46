# FlageeMonitor Proxy, flageemonitor-watchtower-logs: a stand-in.
'watchtower-logs: $env:HOME `n "quoted"' -f $args
