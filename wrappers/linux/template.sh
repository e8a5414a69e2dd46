#!/bin/sh
# FlageeMonitor Proxy, flageemonitor-@COMMAND@. Written from the image at every update: changes made here are lost.
# All of it is one group, which a shell reads to its end before it runs any of it: a file that was cut off runs nothing.
{
set -eu
command=@COMMAND@ engine_error=''

portuguese() { case $language in ([Pp][Tt] | [Pp][Tt][-_.@]*) ;; (*) return 1 ;; esac; }

# Beside the output. Whether anybody reads it decides nothing.
show() { printf '%s\n' "$1" >&2 || :; }
tell() { translate "$1"; show "$text"; }
warn() { translate "$1"; show "$program: $text"; }

# fail CODE REASON SENTENCE [ADVICE]...: what happened, then what it means and what to do.
fail() {
    status=$1 reason=$2
    shift 2
    case $output in (json | ndjson) print_failure "$@" || : ;; esac
    warn "$1"
    while shift; [ $# -gt 0 ]; do
        translate "$1"
        show "  $text"
    done
    exit "$status"
}

in_json() { printf '%s' "$1" | tr '\000-\037\177' ' ' | sed 's/[\\"]/\\&/g'; }

# In one form, which has what deploy's answers have (schema to report) and what runs print of a failure (error). JSON is English.
print_failure() {
    what=$(in_json "$1")
    shift
    advice=$(in_json "$*")
    printf '{"schema": 1, "verb": "%s", "runtime": "%s", "reason": "%s", "message": "%s", "advice": "%s", "notes": [], "log": "", "exit_code": %s, "report": null' \
        "$verb" "$runtime" "$reason" "$what" "$advice" "$status"
    printf ', "error": {"reason": "%s", "message": "%s", "advice": "%s"}}\n' "$reason" "$what" "$advice"
}

usage() {
    if portuguese; then cat <<TEXT; else cat <<TEXT; fi
# @@help.pt@@
TEXT
# @@help.en@@
TEXT
}

# What is closed would be taken by the next file that some program opens.
open_streams() {
    (: 3<&0) 2>/dev/null || exec </dev/null
    (: 3>&1) 2>/dev/null || exec >/dev/null
    (: 3>&2) 2>/dev/null || exec 2>/dev/null
}

# Of the options, those that concern a wrapper as well. The language is that of the host's locale, unless told.
read_words() {
    program=${0##*/} output='' language=${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} verb=$command option=''
    for word; do
        case $option in (--lang | --output) word=$option=$word ;; esac
        option=$word
        case $word in
            (--lang=*) language=${word#*=} ;;
            (--output=*) output=${word#*=} ;;
        esac
    done
}

name_runtime() {
    runtime=${RUNTIME_NAME:-@RUNTIME_NAME@}
    case $runtime in
        (*[!abcdefghijklmnopqrstuvwxyz0123456789_.-]* | [_.-]*)
            named=$runtime runtime=''
            fail 2 usage "Invalid runtime name in RUNTIME_NAME: $named" ;;
    esac
    # shellcheck disable=SC2034 # not every command names them
    etc=/etc/$runtime data=/var/lib/$runtime env_file=/etc/$runtime/flageemonitor.env
}

# Value of the key $1 in the environment file, which is read and never sourced. Nothing where this user may not read it.
env_value() {
    [ -r "$env_file" ] || return 0
    tr -d '\r' <"$env_file" |
        LC_ALL=C sed -n -e "1s/^$(printf '\357\273\277')//" -e "s/^$1=[[:space:]]*//p" | sed -e 's/[[:space:]]*$//' -e '$!d'
}

choose_engine() {
    if [ -z "${DOCKER_HOST:-}" ]; then
        DOCKER_HOST=$(env_value DOCKER_HOST)
        if [ -n "$DOCKER_HOST" ]; then export DOCKER_HOST; else unset DOCKER_HOST; fi
    fi
}

# Sets engine_error when it does not.
engine_answers() { engine_error=$(docker version --format '{{.Server.Version}}' 2>&1); }

# Sets state (running, exited, ... ; none; away when the engine does not answer), and identity, which changes when the container $1
# is stopped, started or replaced.
# shellcheck disable=SC2034 # not every command reads it
look_at() {
    identity='' state=none
    if found=$(docker container inspect --format '{{.Name}} {{.State.Status}} {{.Id}} {{.State.StartedAt}}' "$1" 2>/dev/null); then
        # Docker also answers to the beginning of another container's id.
        case $found in ("/$1 "*) identity=$found state=${found#* } state=${state%% *} ;; esac
    elif ! engine_answers; then
        state=away
    fi
}

no_engine() {
    command -v docker >/dev/null 2>&1 || fail 69 no_engine "docker is not installed on this host, or is not on PATH: $PATH"
    said=$(printf '%s' "$engine_error" | tr -s '\n' ' ')
    said=${said# } socket=${DOCKER_HOST:-unix:///var/run/docker.sock} user=$(id -un 2>/dev/null || id -u)
    case $said in
        (*'ermission denied'*) fail 69 no_engine "The Docker engine denies access to the user $user." "Use sudo: sudo $program ..." ;;
    esac
    fail 69 no_engine "The Docker engine does not answer at $socket: $said" "Start it, for example: sudo systemctl start docker"
}

# exec, with the signal that open_streams and this script's own messages must survive as the program expects it.
become() {
    trap - PIPE
    exec "$@"
}

# @@COMMAND@@

# Sets text to the sentence in the operator's language. Its values are variables.
# shellcheck disable=SC2154 # the table is the same in all commands
translate() {
    text=$1
    portuguese || return 0
    set +u # the values of the other sentences may not be known
    case $1 in
        # @@sentences.pt_BR@@
        (*) ;;
    esac
    set -u
}

trap '' PIPE
read_words "$@"
open_streams
name_runtime
main "$@"
exit; }
