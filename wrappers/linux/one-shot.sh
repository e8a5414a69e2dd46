# @@child@@

# Returns only for root, with an engine whose socket can be mounted.
need_host() {
    timers=''
    [ "$(id -u)" = 0 ] ||
        fail 2 not_root "This command needs root." "Use sudo: sudo $program"
    choose_engine
    DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
    export DOCKER_HOST
    socket=${DOCKER_HOST#unix://}
    case $DOCKER_HOST in
        (unix:///*:* | unix:///*,*) fail 2 bad_environment "DOCKER_HOST names a socket that cannot be mounted: $DOCKER_HOST" ;;
        (unix:///*) ;;
        (*) fail 2 bad_environment "DOCKER_HOST must be a unix:// socket of this host, not $DOCKER_HOST" ;;
    esac
    engine_answers || no_engine
}

# A name that docker cannot take for an option, nor a shell for anything else.
is_image() { case $1 in ('' | [!A-Za-z0-9]* | *[!A-Za-z0-9._/:@-]*) return 1 ;; esac }

# The image that the environment file names.
named_image() {
    named=$(env_value FLAGEEMONITOR_IMAGE)
    [ -n "$named" ] || named=$(env_value ARIUSMONITOR_IMAGE)
}

# The last image that was healthy.
healthy_image() {
    healthy=''
    if [ -r "$etc/healthy_image" ]; then IFS= read -r healthy <"$etc/healthy_image" || :; fi
}

docker_as_root() {
    if [ -r "$etc/docker/config.json" ]; then set -- --config "$etc/docker" "$@"; fi
    docker "$@"
}

# Pulls $1. Sets said to why it failed.
pull() {
    wanted=$1 said='see above'
    if [ -t 2 ]; then
        tell "Pulling $wanted ..."
        docker_as_root pull "$wanted" >&2
    else
        said=$(docker_as_root pull --quiet "$wanted" 2>&1)
    fi
}

have() { docker image inspect "$1" >/dev/null 2>&1; }

busy() {
    fail 6 busy "Another update of $runtime is in progress." "It ends by itself; follow it: docker logs -f $runtime-deploy"
}

# Whether the container $runtime-deploy is a deploy of this runtime: by its label, or by that of its image where an older release made it.
is_deploy() {
    owner=$(docker container inspect --format '{{index .Config.Labels "flageemonitor.runtime"}} of {{index .Config.Labels "org.opencontainers.image.title"}}' \
        "$runtime-deploy" 2>/dev/null) || return 0 # it is gone
    case $owner in ("$runtime of "* | *" of FlageeMonitor Proxy") ;; (*) return 1 ;; esac
}

# A container of this name is another deploy at work, or was left behind by an engine that was killed, or is not ours.
clear_name() {
    tries=3
    while look_at "$runtime-deploy"; [ "$state" != none ]; do
        [ "$state" != away ] || no_engine
        is_deploy ||
            fail 1 engine_error "A container $runtime-deploy exists that is not of this program. Nothing was changed." \
                "Rename it: docker rename $runtime-deploy another-name"
        tries=$((tries - 1))
        case $state in
            (running | paused | restarting) busy ;;
            (created | removing) if [ "$tries" -gt 0 ]; then sleep 1; continue; fi ;;
        esac
        [ "$tries" -ge 0 ] ||
            fail 1 engine_error "The container $runtime-deploy was left behind and cannot be removed. Nothing was changed." \
                "Remove it: docker rm -f $runtime-deploy"
        # Without force: another deploy may have started it since.
        docker rm "$runtime-deploy" >/dev/null 2>&1 || :
    done
}

# No $() in here: bash loses its place in one when the next signal comes.
on_signal() {
    interrupted=yes
    warn "This cannot be interrupted half-way. Waiting for its end."
}

# deploy_with IMAGE VERB [OPTION]...: the one-shot container. Sets code to its exit code; no signal leaves it half-way.
deploy_with() {
    image=$1
    shift
    # Docker writes the one once the container is made, and deploy's answer goes to the other first, because an image that cannot run
    # has none. In memory, so that a full disk is no hindrance.
    made=/run/$runtime-deploy.$$.id answer=/run/$runtime-deploy.$$.answer
    { [ -w /run ] && rm -f "$made" && (: >"$answer"); } 2>/dev/null || made='' answer=''
    if [ -n "$answer" ]; then exec 4>"$answer"; else exec 4>&1; fi
    set -- "$image" deploy "$@" --runtime-name "$runtime" --socket "$socket" --config-source "$etc/config" \
        --data-source "$data" ${output:+--output "$output"}
    trap on_signal INT TERM HUP
    # In the background, because only `wait` lets a signal through at once.
    apart docker run --rm --name "$runtime-deploy" --label "flageemonitor.runtime=$runtime" --label flageemonitor.role=deploy \
        ${made:+--cidfile "$made"} --user 0:0 --network none --read-only --tmpfs /tmp --cap-drop ALL --cap-add DAC_OVERRIDE \
        --cap-add CHOWN --cap-add FOWNER --security-opt no-new-privileges --security-opt label=disable \
        ${language:+-e "LANG=$language"} -v "$socket:/var/run/docker.sock" -v "$etc:/host/etc" -v "$data:/host/data" \
        -v /usr/local/bin:/host/bin ${timers:+-v "$timers"} "$@" </dev/null >&4 4>&- &
    child=$!
    exec 4>&-
    await
    answered=yes
    if [ -n "$answer" ]; then
        [ -s "$answer" ] || answered=''
        cat "$answer" 2>/dev/null || :
        rm -f "$answer"
    fi
    container=''
    if [ -n "$made" ] && [ -s "$made" ]; then read -r container <"$made" || :; fi
    look_at "$runtime-deploy"
    # The client ended before the container, as it does when its output cannot be written. The container has an end all the same.
    case "$state $identity " in
        ("running "*" ${container:-unknown} "*) answered=unread code=$(docker wait "$container" 2>/dev/null) || code=125 ;;
    esac
    [ -z "$made" ] || rm -f "$made"
    case $code in
        (12[67]) never_started ;;
        (125)
            # Somebody was faster with the name, or the engine did not start the container.
            if [ -n "$made" ] && [ -z "$container" ]; then
                case $state in (running | created | paused | removing) busy ;; esac
                never_started
            fi
            half_done 1 engine_error ;;
        (12[89] | 1[3-9]? | 2??) half_done "$code" killed ;;
        (0) ;;
        (*) [ -n "$answered" ] || no_answer ;;
    esac
}

never_started() { fail 1 engine_error "The engine did not start $image (docker: $code). Nothing was changed."; }

again() {
    again=$program
    [ "$command" = uninstall ] || again="$program --repair"
}

no_answer() {
    again
    fail 1 no_answer "$image ended with code $code and gave no answer: it cannot run, or it failed. What was changed until then is not known." \
        "What the image printed, if anything, is above. If it is new, use another image. Check the proxy: $again"
}

half_done() {
    again
    fail "$1" "$2" "The container of $image was ended, or the engine went away (docker: $code). What was changed until then is not known." \
        "Complete or undo it once the engine answers: $again"
}

bad_usage() { fail 2 usage "$1" "See: $program --help"; }
