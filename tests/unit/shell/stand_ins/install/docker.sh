#!/bin/sh
# Stands in for the docker client of a host that install.sh works on: records its arguments, and answers from files in $STAND_IN:
# `down` (it does not answer, and why), `info`, `api`, `verbs` (of every image), `here` (names of images; without it all are), `pull-fails`, `login-fails`,
# `containers/NAME` (its state, its runtime, its title), `deploy-code`; `silent` (it says nothing); the script `on-deploy`, which plays the one-shot container.
set -eu

deploy() {
    verb='' runtime=''
    for word; do case ${previous:-} in (deploy) verb=$word ;; (--runtime-name) runtime=$word ;; esac; previous=$word; done
    cat >"$STAND_IN/stdin"
    [ -f "$STAND_IN/silent" ] || echo "deploy $verb for $runtime"
    # shellcheck disable=SC1091
    if [ -f "$STAND_IN/on-deploy" ]; then . "$STAND_IN/on-deploy"; fi
    code=0
    if [ -f "$STAND_IN/deploy-code" ]; then read -r code <"$STAND_IN/deploy-code"; fi
    if [ "$code" = 0 ] && [ "$verb" = install ]; then
        case "$*" in (*--dry-run*) ;; (*) echo KEY=value >"/etc/$runtime/flageemonitor.env"; : >"/var/lib/$runtime/state.db" ;; esac
        case "$*" in (*--timer\ systemd*) echo unit >"/etc/systemd/system/$runtime-repair.timer" ;; esac
    elif [ "$code$verb" = 0uninstall ]; then
        case "$*" in (*--dry-run*) ;; (*) rm -f "/etc/systemd/system/$runtime-repair.timer" ;; esac
        case "$*" in (*--delete-data*) rm -f "/etc/$runtime/flageemonitor.env" "/var/lib/$runtime/state.db" ;; esac
    fi
    exit "$code"
}

main() {
    { for word; do printf '%s\037' "$word"; done; printf '\036'; } >>"$STAND_IN/docker"
    if [ "$1" = --config ]; then cp "$2/config.json" "$STAND_IN/credentials"; shift 2; fi
    if [ -f "$STAND_IN/down" ]; then cat "$STAND_IN/down" >&2; exit 1; fi
    for word; do last=$word; done
    case "$1 ${2:-}" in
        ('info '*) case "$last" in (*HTTPSProxy*) cat "$STAND_IN/engine-proxy" 2>/dev/null || echo ;; (*) cat "$STAND_IN/info" ;; esac ;;
        ('version '*) cat "$STAND_IN/api" ;;
        ('context '*) echo unix:///var/run/docker.sock ;;
        ('image inspect') [ -n "$last" ]; [ ! -f "$STAND_IN/here" ] || grep -qx "$last" "$STAND_IN/here"; cat "$STAND_IN/verbs" ;;
        ('container inspect')
            [ -f "$STAND_IN/containers/$last" ] || { echo "Error: No such container: $last" >&2; exit 1; }
            IFS= read -r about <"$STAND_IN/containers/$last"
            labels=${about#* }
            case "$*" in
                (*.Image*) echo sha256:0123 ;;
                (*.State.*) echo "/$last ${about%% *} c0ffee" ;;
                (*' of '*) echo "${labels%% *} of ${labels#* }" ;;
                (*) echo "$labels" ;;
            esac ;;
        ('pull '*)
            if [ -f "$STAND_IN/pull-fails" ]; then cat "$STAND_IN/pull-fails" >&2; exit 1; fi
            [ ! -f "$STAND_IN/here" ] || echo "$last" >>"$STAND_IN/here" ;;
        ('login '*)
            cat >"$STAND_IN/login"
            if [ -f "$STAND_IN/login-fails" ]; then cat "$STAND_IN/login-fails" >&2; exit 1; fi ;;
        ('run '*) deploy "$@" ;;
        ("rm $last") grep -vq '^running' "$STAND_IN/containers/$last" && rm -f "$STAND_IN/containers/$last" ;;
        (*) echo "stand-in: what is docker $1?" >&2; exit 99 ;;
    esac
}

main "$@"
