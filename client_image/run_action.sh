#!/bin/sh
# flageemonitor-run, inside the container. Called by the host's wrapper through `docker exec`.
set -eu

main() {
    cd /flageemonitor
    exec python -m runtime.main "$@"
}

main "$@"
