#!/bin/sh
# A stand-in for the product's own bootstrap/install.sh, so that tests of the control plane depend on the contract of a
# template only: it prints the values that it was rendered with.
set -eu

main() {
    # @@VALUES@@
    for line in "API_BASE=$API_BASE" "ENROLL_URL=$ENROLL_URL" "HEALTH_URL=$HEALTH_URL" "CLIENT=$CLIENT" "NETWORK=$NETWORK" \
        "TIMEZONE=$TIMEZONE" "IMAGE=$IMAGE" "WATCHTOWER_IMAGE=$WATCHTOWER_IMAGE" "WATCHTOWER_INTERVAL=$WATCHTOWER_INTERVAL" \
        "BOOTSTRAP_TOKEN=$BOOTSTRAP_TOKEN" "SERVER_TIME=$SERVER_TIME" "SERVER_VERSION=$SERVER_VERSION"; do
        printf '%s\n' "$line"
    done
}

main "$@"
