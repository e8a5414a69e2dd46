# FlageeMonitor Proxy, flageemonitor-@COMMAND@: a stand-in.
'@COMMAND@: $env:HOME `n "quoted"' -f $args
