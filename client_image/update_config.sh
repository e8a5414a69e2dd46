#!/bin/sh
# Fetches the configuration now. Exit 0: what the control plane serves is in force; 1: the last valid one was kept; 3: there is none.
set -eu

main() {
    exec /flageemonitor/run_action.sh config refresh "$@"
}

main "$@"
