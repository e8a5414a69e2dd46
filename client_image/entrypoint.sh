#!/bin/sh
# First process of the image (under tini). No arguments: the daemon. `deploy ...`: this image puts itself in place on a host, see
# docs/deployment.md. Anything else: one run by hand, as `flageemonitor-run` would do it.
set -eu

main() {
    cd /flageemonitor
    case ${1:-} in
        ('') exec python -m runtime.daemon ;;
        (deploy) shift; exec python -m runtime.deploy "$@" ;;
        (*) exec /flageemonitor/run_action.sh "$@" ;;
    esac
}

main "$@"
