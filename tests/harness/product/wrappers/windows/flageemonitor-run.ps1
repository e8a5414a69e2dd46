# FlageeMonitor Proxy, flageemonitor-run: a stand-in.
'run: $env:HOME `n "quoted"' -f $args
