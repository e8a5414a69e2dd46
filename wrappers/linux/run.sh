# @@container@@
# @@child@@

new_id() {
    if ! { read -r id </proc/sys/kernel/random/uuid; } 2>/dev/null; then
        id=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n' |
            sed 's/^\(.\{8\}\)\(....\).\(...\).\(...\)\(.\{12\}\)$/\1-\2-4\3-8\4-\5/')
    fi
    printf '%s\n' "$id"
}

cancel_inside() {
    # Not held open for whoever reads the run's output.
    exec </dev/null >/dev/null 2>&1 3<&-
    tries=60
    # A run is known by its id once it has registered, a moment after its start.
    until (apart docker exec "$runtime" /flageemonitor/run_action.sh cancel "$invocation"); do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 0
        sleep 1
    done
}

listen() {
    trap on_signal INT TERM
    trap 'hung_up=$terminal; on_signal' HUP
}

# No $() in here: bash loses its place in one when the next signal comes.
on_signal() {
    # Deaf meanwhile, and so is what starts here: the same signal, sent twice at once, must not end it before it has begun.
    trap '' INT TERM HUP
    interrupted=yes
    read -r now </proc/uptime
    now=${now%%.*}
    if [ -z "$canceller" ]; then
        first=$now
        cancel_inside &
        canceller=$!
        warn "Cancelling. Waiting for hosts at work and for the result (repeat to stop waiting)."
    elif [ "$((now - first))" -ge 2 ]; then # `timeout` and some shells send the same signal twice
        warn "The run is still stopping inside. Its result: $runtime-run runs $invocation"
        kill "$child" 2>/dev/null || :
        [ -z "$terminal" ] || stty "$terminal" 2>/dev/null <&3 || :
        exit 130
    fi
    listen
}

# recorded SENTENCE: the run's end was not seen here.
recorded() { fail 69 container_gone "$1" "What was done until then is on record: $runtime-run runs $invocation"; }

main() {
    case ${1:-} in
        (-h | --help)
            usage
            choose_engine
            look_at "$runtime"
            [ "$state" = running ] || exit 0
            echo
            become docker exec ${language:+-e "LANG=$language"} "$runtime" /flageemonitor/run_action.sh --help </dev/null ;;
    esac
    need_running "$runtime"
    before=$identity
    invocation=$(new_id)
    # For the record only: the container cannot know who asks.
    actor=${SUDO_USER:-$(logname 2>/dev/null || id -un 2>/dev/null || id -u)}
    canceller='' terminal='' hung_up='' early='' secret=''
    for word; do
        case $word in (*=@-) secret=yes ;; esac # --param name=@-: a secret comes on standard input
    done
    set -- -e "FLAGEEMONITOR_INVOCATION=$invocation" -e "FLAGEEMONITOR_ACTOR=$actor" ${language:+-e "LANG=$language"} \
        "$runtime" /flageemonitor/run_action.sh "$@"
    if [ -t 0 ] && [ -t 1 ]; then
        exec 3<&0 # a shell takes stdin away from what it starts in the background
        terminal=$(stty -g 2>/dev/null) || terminal=sane
    elif [ -n "$secret" ]; then
        exec 3<&0
    fi
    # Only noted until the child is known: its $! is not to be mixed up with the canceller's.
    trap 'early=yes' INT TERM
    trap 'early=yes hung_up=$terminal' HUP
    # In the background, because only `wait` lets a signal through at once.
    if [ -n "$terminal" ]; then
        become docker exec -it ${TERM:+-e "TERM=$TERM"} "$@" <&3 3<&- &
    elif [ -n "$secret" ]; then
        apart docker exec -i "$@" <&3 3<&- &
    else
        # Without -i: the caller may be a loop that reads its own stdin.
        apart docker exec "$@" </dev/null 3<&- &
    fi
    child=$!
    listen
    [ -z "$early" ] || on_signal
    await
    # Without its terminal docker says 0, whatever became of the run.
    if [ -n "$hung_up" ] && [ "$code" = 0 ]; then code=129; fi
    case $code in
        # An engine that went away looks like exit code 1, a container that went away like a kill. Both leave a run that may still
        # have to be cancelled, and so does a reader of the output that went away (141).
        (1) engine_answers || recorded "The Docker engine went away during the run." ;;
        (130) ;;
        (12[5-9] | 1[3-9]? | 2??)
            look_at "$runtime"
            case $state:$identity in
                ("running:$before") ;;
                (away:*) recorded "The Docker engine went away during the run." ;;
                (*) recorded "The container $runtime was stopped during the run." ;;
            esac ;;
    esac
    case $code in
        (141)
            [ -z "$canceller" ] || code=130
            warn "Nobody reads the output any more. The result of the run: $runtime-run runs $invocation" ;;
        (1) ;;
        (*) if [ -n "$canceller" ] && [ -z "$terminal" ]; then kill -USR1 "$canceller" 2>/dev/null || :; fi ;;
    esac
    exit "$code"
}
