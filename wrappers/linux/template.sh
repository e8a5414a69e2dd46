#!/bin/sh
# FlageeMonitor Proxy, flageemonitor-@COMMAND@. Written from the image at every update: changes made here are lost.
# All of it is one group, which a shell reads to its end before it runs any of it: a file that was cut off runs nothing.
{
set -eu
command=@COMMAND@ engine_error=''

portuguese() { case $language in ([Pp][Tt] | [Pp][Tt][-_.@]*) ;; (*) return 1 ;; esac; }

# show ENGLISH PORTUGUESE: in the operator's language.
show() {
    if portuguese; then shift; fi
    printf '%s\n' "$1"
}

# The same beside the output. Whether anybody reads it decides nothing.
tell() { show "$@" >&2 || :; }

# fail CODE REASON ENGLISH PORTUGUESE [ENGLISH PORTUGUESE]...: what happened, then what it means and what to do.
fail() {
    status=$1 reason=$2
    shift 2
    case $output in (json | ndjson) print_failure "$@" || : ;; esac
    tell "$program: $1" "$program: $2"
    while [ $# -gt 2 ]; do
        shift 2
        tell "  $1" "  $2"
    done
    exit "$status"
}

in_json() { printf '%s' "$1" | tr '\000-\037\177' ' ' | sed 's/[\\"]/\\&/g'; }

# In one form, which has what deploy's answers have (schema to report) and what runs print of a failure (error). JSON is English.
print_failure() {
    what=$(in_json "$1") advice=''
    while [ $# -gt 2 ]; do
        shift 2
        advice="$advice${advice:+ }$(in_json "$1")"
    done
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
            fail 2 usage "Invalid runtime name in RUNTIME_NAME: $named" "Nome de runtime inválido em RUNTIME_NAME: $named" ;;
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
    if ! command -v docker >/dev/null 2>&1; then
        fail 69 no_engine "docker is not installed on this host, or is not on PATH: $PATH" \
            "docker não está instalado neste servidor ou não está no PATH: $PATH"
    fi
    said=$(printf '%s' "$engine_error" | tr -s '\n' ' ')
    case $said in
        (*'ermission denied'*)
            user=$(id -un 2>/dev/null || id -u)
            fail 69 no_engine "The Docker engine denies access to the user $user." "O Docker Engine nega acesso ao usuário $user." \
                "Use sudo: sudo $program ..." "Use sudo: sudo $program ..." ;;
    esac
    fail 69 no_engine "The Docker engine does not answer at ${DOCKER_HOST:-its default socket}: ${said# }" \
        "O Docker Engine não responde em ${DOCKER_HOST:-seu socket padrão}: ${said# }" \
        "Start it, for example: sudo systemctl start docker" "Inicie-o, por exemplo: sudo systemctl start docker"
}

# exec, with the signal that open_streams and this script's own messages must survive as the program expects it.
become() {
    trap - PIPE
    exec "$@"
}

# @@COMMAND@@

trap '' PIPE
read_words "$@"
open_streams
name_runtime
main "$@"
exit; }
