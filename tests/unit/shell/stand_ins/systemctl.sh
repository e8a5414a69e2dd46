#!/bin/sh
# Stands in for systemctl: records its arguments.
set -eu

main() {
    for word; do printf '%s\037' "$word"; done >>"$STAND_IN/systemctl"
    printf '\036' >>"$STAND_IN/systemctl"
    if [ -f "$STAND_IN/systemctl-fails" ]; then exit 1; fi
}

main "$@"
