#!/bin/sh
# Watchtower calls this at every poll: the stamp tells doctor and the health report that it lives.
set -eu

main() {
    data=${FLAGEEMONITOR_DATA_PATH:-/flageemonitor/data}
    date +%s >"$data/.watchtower.stamp.new"
    mv -f "$data/.watchtower.stamp.new" "$data/watchtower.stamp"
}

main "$@"
