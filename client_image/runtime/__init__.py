"""The proxy: runs actions on the hosts of one customer network. Becomes /flageemonitor/runtime in the image."""
