# Becomes the program, out of reach of this terminal's Ctrl-C and of its end. Call it in a subshell: it does not return.
apart() {
    if command -v setsid >/dev/null 2>&1; then become setsid "$@"; fi
    trap '' INT TERM HUP
    become "$@"
}

# Sets ended, and code unless the wait before had its answer already.
collect() {
    ended=0
    wait "$child" || ended=$?
    if [ "$ended" != 127 ] || [ -z "$code" ]; then code=$ended; fi
}

# Waits for the child and sets code. A signal ends `wait` early; then it is waited for again.
await() {
    code=
    while :; do
        interrupted=no
        collect
        # bash ends a wait for a signal that came while a trap was at work, too, and tells no trap: then the child is still there.
        if [ "$interrupted" = no ] && { [ "$ended" -le 128 ] || ! kill -0 "$child" 2>/dev/null; }; then break; fi
    done
    trap '' INT TERM HUP
    # ... or it ended just then, and the answer was the signal's.
    if [ "$code" -gt 128 ]; then collect && collect; fi
}
