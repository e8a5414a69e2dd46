#!/bin/sh
# Stands in for the docker client: records its arguments, keeps containers and images as files in $STAND_IN, and does what the
# files there say: `down` (it does not answer), `pull-fails`, `refresh-code`,
# `verbs` (the images whose deploy has verbs); and the scripts `on-exec`, `on-stop`, `on-wait`, `on-create`
# and `on-deploy` (before and after the one-shot container is made).
set -eu

record() {
    for word; do printf '%s\037' "$word"; done
    printf '\036'
}

image_file() { printf '%s/images/%s' "$STAND_IN" "$(printf '%s' "$1" | tr / %)"; }

inspect_container() {
    while [ $# -gt 1 ]; do
        case $1 in (--format) form=$2 ;; esac
        shift
    done
    [ -f "$STAND_IN/containers/$1" ] || { echo "Error: No such container: $1" >&2; exit 1; }
    IFS='|' read -r status id label title <"$STAND_IN/containers/$1"
    case $form in
        (*StartedAt*) echo "/$1 $status $id 2026-01-01T00:00:00Z" ;;
        ('{{.Image}}') echo "$id" ;;
        (*image.title*) echo "$label of ${title:-}" ;;
        (*flageemonitor.runtime*) echo "/$1 of $label" ;;
        (*) echo "/$1 $status" ;;
    esac
}

run() {
    image='' name='' made=/dev/null
    while [ $# -gt 0 ]; do
        case $1 in
            (--rm | --read-only) shift ;;
            (--name) name=$2; shift 2 ;;
            (--cidfile) made=$2; shift 2 ;;
            (-*) shift 2 ;;
            (*) image=$1; shift; break ;;
        esac
    done
    if [ "${1:-}" = deploy ]; then
        runtime=${name%-deploy}
        # shellcheck disable=SC1091
        if [ -f "$STAND_IN/on-create" ]; then . "$STAND_IN/on-create"; fi
        echo 3 >"$made"
        # shellcheck disable=SC1091
        if [ -f "$STAND_IN/on-deploy" ]; then . "$STAND_IN/on-deploy"; fi
        mkdir -p "$STAND_IN/containers"
        echo "running|1$image|$runtime" >"$STAND_IN/containers/$runtime"
        echo "running|2|$runtime" >"$STAND_IN/containers/$runtime-watchtower"
        echo "$image" >"/etc/$runtime/healthy_image"
        exit 0
    fi
    code=0
    [ ! -f "$STAND_IN/refresh-code" ] || read -r code <"$STAND_IN/refresh-code"
    echo "refreshed: $code"
    exit "$code"
}

do_as_told() {
    # shellcheck disable=SC1091
    . "$STAND_IN/on-exec"
}

main() {
    record "$@" >>"$STAND_IN/docker"
    printf '%s\n' "${DOCKER_HOST:-default}" >>"$STAND_IN/docker-hosts"
    case ${1:-} in (--config) cat "$2/config.json" >"$STAND_IN/credentials"; shift 2 ;; esac
    if [ -f "$STAND_IN/down" ]; then
        cat "$STAND_IN/down" >&2
        exit 1
    fi
    command=$1
    shift
    case $command:${1:-} in
        (version:*) case ${2:-} in (*API*) cat "$STAND_IN/version" ;; (*) echo 20.10.24 ;; esac ;;
        (info:*) cat "$STAND_IN/info" ;;
        (context:*) echo unix:///var/run/docker.sock ;;
        (container:inspect) inspect_container "$@" ;;
        (inspect:*) cat "$STAND_IN/neighbours" ;;
        (ps:-q)
            case $* in
                (*name=*)
                    name=${3#name=^/}
                    case $(cat "$STAND_IN/containers/${name%\$}" 2>/dev/null || :) in (running*) echo 1 ;; esac ;;
                (*) [ ! -s "$STAND_IN/neighbours" ] || echo 1 ;;
            esac ;;
        (ps:-a) cat "$STAND_IN/runtimes" 2>/dev/null || : ;;
        (network:inspect) test -f "$STAND_IN/networks/$2" ;;
        (image:inspect)
            case $* in
                (*flageemonitor.verbs*)
                    while [ $# -gt 1 ]; do shift; done
                    if grep -qx "$1" "$STAND_IN/verbs" 2>/dev/null; then echo install uninstall neighbours; fi ;;
                (*) test -f "$(image_file "$2")" ;;
            esac ;;
        (pull:*)
            if [ -f "$STAND_IN/pull-fails" ]; then
                cat "$STAND_IN/pull-fails" >&2
                exit 1
            fi
            while [ $# -gt 1 ]; do shift; done
            mkdir -p "$STAND_IN/images"
            : >"$(image_file "$1")"
            echo "pulled $1" ;;
        (run:*) run "$@" ;;
        (exec:*) do_as_told "$@" ;;
        (rm:*)
            force=no
            while [ $# -gt 1 ]; do
                [ "$1" != -f ] || force=yes
                shift
            done
            case $force:$(cat "$STAND_IN/containers/$1") in (no:running*) echo "stop it first" >&2; exit 1 ;; esac
            rm "$STAND_IN/containers/$1" ;;
        (wait:*)
            # shellcheck disable=SC1091
            . "$STAND_IN/on-wait" ;;
        (logs:*) echo "log of $*" ;;
        (stop:*)
            # shellcheck disable=SC1091
            if [ -f "$STAND_IN/on-stop" ]; then . "$STAND_IN/on-stop"; fi ;;
        (volume:* | update:*) ;;
        (*) echo "stand-in: what is docker $command?" >&2; exit 99 ;;
    esac
}

main "$@"
