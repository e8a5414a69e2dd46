# Returns only when the container $1 exists.
need_container() {
    container=$1
    choose_engine
    look_at "$container"
    case $state in
        (away) no_engine ;;
        (none) no_container ;;
    esac
}

no_container() {
    look_at "$runtime-deploy"
    [ "$state" != running ] ||
        fail 69 no_container "There is no container $container now, because an update of $runtime is in progress." "Try again in a minute."
    others=$(docker ps -a --filter label=flageemonitor.role=runtime --format '{{.Names}}' 2>/dev/null | tr '\n' ' ') || others=
    others=${others% } other=${others%% *}
    [ -n "$others" ] ||
        fail 69 no_container "There is no container $container, and no other runtime on this host." \
            "If $etc exists, create it again: sudo $runtime-update-image --repair"
    fail 69 no_container "There is no container $container. Runtimes on this host: $others" \
        "Use the command of another runtime, for example: $other-run ..." \
        "If $etc exists, create it again: sudo $runtime-update-image --repair"
}

# Returns only when the container $1 runs.
need_running() {
    need_container "$1"
    case $state in
        (running) ;;
        (paused) fail 69 not_running "The container $container is paused." "Resume it: docker unpause $container" ;;
        (*)
            fail 69 not_running "The container $container does not run: it is $state." "Read why: $runtime-logs" \
                "Repair it: sudo $runtime-update-image --repair" ;;
    esac
}
