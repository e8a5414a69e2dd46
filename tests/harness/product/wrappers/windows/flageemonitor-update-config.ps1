# FlageeMonitor Proxy, flageemonitor-update-config: a stand-in.
'update-config: $env:HOME `n "quoted"' -f $args
