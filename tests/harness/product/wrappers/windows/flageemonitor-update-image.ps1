# FlageeMonitor Proxy, flageemonitor-update-image: a stand-in.
'update-image: $env:HOME `n "quoted"' -f $args
