#!/bin/sh
# FlageeMonitor Proxy: installs, repairs, upgrades and removes a proxy on this host. Rendered by the control plane for one
# network. It wants root, a POSIX shell, curl and Docker; options and what it does: sh install.sh --help.
# Nothing happens before the last line, so a download that was cut off does nothing.
set -eu

# What the control plane filled in.
values() {
    API_BASE='' ENROLL_URL='' HEALTH_URL='' CLIENT='' NETWORK='' TIMEZONE='' IMAGE='' WATCHTOWER_IMAGE='' WATCHTOWER_INTERVAL=''
    BOOTSTRAP_TOKEN='' SERVER_TIME='' SERVER_VERSION=''
    # @@VALUES@@
}

# The text of the wrapper $1, with a placeholder for the runtime's name.
wrapper() {
    case $1 in
        # @@WRAPPERS@@
        (*) return 1 ;;
    esac
}

usage() {
    cat <<'TEXT'
Usage: install.sh [OPTION]...

Installs FlageeMonitor Proxy on this host: checks the host, pulls the image, enrols with the control plane, fetches the first
configuration, starts the proxy and its Watchtower, and sets up five commands and a timer that mends both. Run again, it repairs
and upgrades; identity, token and what you wrote into the environment file are kept. If it fails, what was there before goes on.

  --runtime-name NAME           name of this proxy on this host (default flageemonitor); several may live side by side
  --image REFERENCE             image of the proxy, instead of the one that the control plane names
  --watchtower-image REFERENCE  image of Watchtower
  --watchtower-interval SECONDS how often Watchtower looks for a new image (30 or more)
  --ca FILE                     certificate of a private authority that the control plane's address is signed by
  --registry-user NAME          user of the image's registry; the password or token is asked for, or is read from
  --registry-token-file FILE    the first line of this file
  --docker-network NAME         bridge (default), host (where the bridge cannot reach the terminals) or a network of yours
  --replace-legacy              a proxy of the first generation is stopped once this one runs; its files stay
  --beside-legacy               it goes on beside this one
  --allow-foreign-watchtower    install although a Watchtower without scope would interfere
  --dry-run                     make all checks, say what would be done, change nothing

  --uninstall                   remove the proxy; asks whether its data is to be deleted as well
    --keep-data, --delete-data  the answer to that
    --yes                       yes to every question

Exit codes: 0 done, 1 not done and what was there before goes on, 2 usage, 6 another installer or update is at work.
TEXT
}

OWNER=10001:10001 # the proxy's user inside the container
TOOLS='run logs update-config update-image watchtower-logs uninstall'
FIRST='ariusmonitor flageemonitor' # what a proxy of the first generation is called; its Watchtower as well, with -watchtower
CR=$(printf '\r')

# Every argument is a line.
say() { printf '%s\n' "$@" || :; }
step() { say "==> $*"; }
warn() { printf '%s\n' "    $*" >&2 || :; }

# fail WHAT [WHAT-TO-DO]...
fail() {
    printf '%s\n' "" "Failed: $1" >&2 || :
    shift
    for line; do warn "$line"; done
    exit 1
}

bad_usage() {
    printf '%s\n' "install.sh: $1" "See: install.sh --help" >&2
    exit 2
}

# problem WHAT WHAT-TO-DO: collected, so that all of them are told at once.
problem() {
    problems=$((problems + 1))
    report="$report
  $problems. $1
     $2"
}

# ---- Options

read_options() {
    runtime=flageemonitor image='' watchtower_image='' interval='' ca='' registry_user='' registry_file='' network=''
    legacy='' foreign=no dry_run=no uninstall=no yes=no data=''
    while [ $# -gt 0 ]; do
        option=$1 value='' given=no
        case $option in
            (--*=*) value=${option#*=} option=${option%%=*} given=yes ;;
        esac
        case $option in
            (--runtime-name | --image | --watchtower-image | --watchtower-interval | --ca | --registry-user | \
                --registry-token-file | --docker-network)
                if [ "$given" = no ] && [ $# -gt 1 ]; then
                    value=$2
                    shift
                fi
                [ -n "$value" ] || bad_usage "$option wants a value" ;;
            (*) [ "$given" = no ] || bad_usage "$option takes no value" ;;
        esac
        case $option in
            (--runtime-name) runtime=$value ;;
            (--image) image=$value ;;
            (--watchtower-image) watchtower_image=$value ;;
            (--watchtower-interval) interval=$value ;;
            (--ca) ca=$value ;;
            (--registry-user) registry_user=$value ;;
            (--registry-token-file) registry_file=$value ;;
            (--docker-network) network=$value ;;
            (--replace-legacy | --beside-legacy)
                value=${option#--} value=${value%-legacy}
                [ "${legacy:-$value}" = "$value" ] || bad_usage "--replace-legacy and --beside-legacy do not go together"
                legacy=$value ;;
            (--allow-foreign-watchtower) foreign=yes ;;
            (--dry-run) dry_run=yes ;;
            (--uninstall) uninstall=yes ;;
            (--yes) yes=yes ;;
            (--keep-data | --delete-data)
                value=${option#--} value=${value%-data}
                [ "${data:-$value}" = "$value" ] || bad_usage "--keep-data and --delete-data do not go together"
                data=$value ;;
            (-h | --help) usage; exit 0 ;;
            (*) bad_usage "unknown option: $1" ;;
        esac
        shift
    done
    check_options
}

check_options() {
    case $runtime in
        (*[!abcdefghijklmnopqrstuvwxyz0123456789_.-]* | [_.-]*)
            bad_usage "--runtime-name: '$runtime' must begin with a-z or 0-9 and consist of a-z 0-9 _ . -" ;;
        (*-candidate | *-previous | *-watchtower | *-deploy | *-repair)
            bad_usage "--runtime-name: '$runtime' must not end like a part of another runtime (-candidate, -previous, -watchtower, -deploy, -repair)" ;;
    esac
    [ "${#runtime}" -le 40 ] || bad_usage "--runtime-name: at most 40 characters"
    [ -z "$image" ] || is_image "$image" || bad_usage "--image: '$image' is not the name of an image"
    [ -z "$watchtower_image" ] || is_image "$watchtower_image" || bad_usage "--watchtower-image: '$watchtower_image' is not the name of an image"
    case $interval in
        (*[!0-9]* | ????????*) bad_usage "--watchtower-interval: '$interval' is not a number of seconds" ;;
        (?*) { [ "$interval" -ge 30 ] && [ "$interval" -le 604800 ]; } || bad_usage "--watchtower-interval: from 30 seconds to 604800 (a week)" ;;
    esac
    case $network in
        (none | [!A-Za-z0-9]* | *[!A-Za-z0-9_.-]*) bad_usage "--docker-network: bridge, host or the name of a network, not '$network'" ;;
    esac
    [ "$uninstall" = yes ] || [ -z "$data" ] || bad_usage "--keep-data and --delete-data belong to --uninstall"
    case $registry_user in (*:*) bad_usage "--registry-user: no colon in a user's name" ;; esac
    [ -z "$registry_file" ] || [ -n "$registry_user" ] || bad_usage "--registry-token-file wants --registry-user as well"
}

# A reference by the grammar of registries, as contracts/image_reference.py has it: no option for docker, and nothing for a shell.
is_image() {
    case $1 in
        ('' | *[!][A-Za-z0-9._/:@-]*) return 1 ;;
    esac
    image_name=${1%%@*}
    case ${image_name##*/} in (*:*) image_name=${image_name%:*} ;; esac
    # Too long; the id of an image; no valid domain.
    [ "${#image_name}" -le 255 ] || return 1
    case $image_name in
        (*[!0-9a-f]*) ;;
        (*) [ "${#image_name}" -ne 64 ] || return 1 ;;
    esac
    case $image_name in
        (*/*) case ${image_name%%/*} in (*.*_* | *_*.*) return 1 ;; esac ;;
    esac
    printf '%s\n' "$1" | LC_ALL=C grep -Eqx \
        '(([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?/)?[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?'
}

is_token() {
    case $1 in
        ('' | *[!A-Za-z0-9._~+/=-]*) return 1 ;;
    esac
}

name_places() {
    etc=/etc/$runtime var=/var/lib/$runtime bin=/usr/local/bin
    env_file=$etc/flageemonitor.env
    marker=$etc/.flageemonitor # while an installation has not come as far as the environment file, or is being taken back
}

# What is written outside the proxy's own folders, and the settings.
targets() {
    for name in $TOOLS; do printf '%s\n' "$bin/$runtime-$name"; done
    printf '%s\n' "/etc/systemd/system/$runtime-repair.service" "/etc/systemd/system/$runtime-repair.timer" "$(cron_file)" \
        "$env_file" "$etc/ca.pem" "$etc/docker/config.json"
}

# ---- Checks: they change nothing

check_everything() {
    problems=0 report='' facts='' engine=no
    name_places
    fresh=yes
    [ ! -f "$env_file" ] || fresh=no
    check_script
    if [ "$(id -u)" != 0 ]; then
        problem "This needs root." "Run it with sudo: ... | sudo sh"
    else
        check_names
        check_engine
        check_neighbours
        check_space
    fi
    check_machine
    check_ca
    check_server
    check_registry
    if [ "$problems" -gt 0 ]; then
        printf '%s\n' "Not installed; nothing was changed. What is in the way:$report" >&2
        exit 1
    fi
    say "Checks passed:$facts"
}

check_script() {
    if [ -z "$API_BASE" ] || [ -z "$NETWORK" ] || ! is_token "$BOOTSTRAP_TOKEN"; then
        problem "This is the bare template, or a damaged script." "Use the line that flagee-server install-command prints."
    fi
    for value in "$API_BASE" "$ENROLL_URL" "$HEALTH_URL"; do
        case $value in
            ('' | http://[!-]* | https://[!-]*) ;;
            (*) problem "The script carries an address that is none: $value" "Correct FLAGEE_PUBLIC_URL on the control plane." ;;
        esac
    done
    for value in "$API_BASE" "$NETWORK" "$TIMEZONE" "$IMAGE" "$WATCHTOWER_IMAGE" "$WATCHTOWER_INTERVAL"; do
        case $value in
            (*[![:print:]]*) problem "The script carries a value with characters that cannot be printed." "Correct the network's document." ;;
        esac
    done
    wanted_image=$(first "$image" "$(env_value FLAGEEMONITOR_IMAGE)" "$(env_value ARIUSMONITOR_IMAGE)" "$IMAGE")
    is_image "$wanted_image" ||
        problem "There is no usable name of an image: '$wanted_image'." "Give one with --image, or correct it in $env_file or in the network's document."
}

# The first argument that is not empty.
first() {
    for word; do
        if [ -n "$word" ]; then
            printf '%s\n' "$word"
            return 0
        fi
    done
}

# Value of the key $1 in the environment file, which is read and never sourced.
env_value() {
    [ -r "$env_file" ] || return 0
    sed -n -e "s/$CR//g" -e "/^$1=/{ s/^$1=[[:space:]]*//; s/[[:space:]]*\$//; h; }" -e '${ g; p; }' "$env_file"
}

check_names() {
    # Whatever else is called so must not be taken over now, nor be removed by --uninstall later.
    if [ -L "$etc" ] || { [ -e "$etc" ] && [ ! -d "$etc" ]; }; then
        problem "$etc is there and is not a folder." "Move it away, or choose another name with --runtime-name."
    elif [ "$fresh" = yes ] && [ -d "$etc" ] && [ ! -f "$marker" ] && ! is_empty "$etc"; then
        problem "$etc is there and was not made by this installer." "Move it away, or choose another name with --runtime-name."
    fi
    if [ -L "$var" ] || { [ -e "$var" ] && [ ! -d "$var" ]; }; then
        problem "$var is there and is not a folder." "Move it away, or choose another name with --runtime-name."
    elif [ "$fresh" = yes ] && [ -d "$var" ] && ! is_our_data; then
        problem "$var is there and belongs to something else." "Choose another name with --runtime-name."
    fi
    for name in $TOOLS; do
        if [ -e "$bin/$runtime-$name" ] && ! is_our_command "$bin/$runtime-$name"; then
            problem "$bin/$runtime-$name is there and is not ours." "Move it away, or choose another name with --runtime-name."
        fi
    done
    serves=$(first "$(env_value FLAGEEMONITOR_REDE)" "$(env_value ARIUSMONITOR_REDE)")
    if [ -n "$serves" ] && [ "$serves" != "$NETWORK" ]; then
        problem "$runtime on this host serves network $serves; this script is for network $NETWORK." \
            "Install under another name with --runtime-name, or remove the old one with --uninstall first."
    fi
}

# The first generation's commands are called the same.
is_our_command() { sed 3q "$1" 2>/dev/null | grep -q 'FlageeMonitor Proxy'; }

# Whether the folder $1 holds nothing, but for an installer at work.
is_empty() {
    for path in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        case ${path##*/} in
            (.install*) ;;
            (*) [ ! -e "$path" ] && [ ! -L "$path" ] || return 1 ;;
        esac
    done
}

# Left by an earlier installation: made for the proxy's user, and for nobody else.
is_our_data() {
    is_empty "$var" || [ -n "$(find "$var" -prune -user "${OWNER%:*}")" ]
}

check_engine() {
    engine=no
    if ! command -v docker >/dev/null 2>&1; then
        problem "Docker is not installed on this host." "Install Docker Engine 20.10 or later, then run this again."
        return 0
    fi
    choose_engine
    case $DOCKER_HOST in
        (unix:///*[:,]*) problem "Docker's socket has a name that cannot be mounted: $DOCKER_HOST" "Use a path without : and ,"; return 0 ;;
        (unix:///*) ;;
        (*) problem "Docker is used over $DOCKER_HOST; the proxy must run on this host." "Unset DOCKER_HOST, or set it to a unix:// socket."; return 0 ;;
    esac
    if ! said=$(docker version --format '{{.Server.Version}} {{.Server.APIVersion}}' 2>&1); then
        problem "The Docker engine does not answer at $DOCKER_HOST: $(one_line "$said")" "Start it, for example: systemctl start docker"
        return 0
    fi
    engine=yes
    api=${said##* }
    if ! at_least_1_41 "$api"; then
        problem "The Docker engine is ${said% *} with API $api; 20.10 with API 1.41 is the oldest that will do." "Upgrade Docker."
    fi
    facts="$facts Docker ${said% *};"
    info=$(docker info --format '{{.OSType}}|{{.DockerRootDir}}|{{json .SecurityOptions}}' 2>/dev/null) || info='||'
    case $info in
        (linux\|* | \|*) ;;
        (*) problem "The Docker engine runs ${info%%|*} containers." "Switch it to Linux containers." ;;
    esac
    case $info in
        (*name=rootless* | *name=userns*)
            problem "The Docker engine maps users (rootless, or userns-remap), so that the proxy could not read its files." \
                "Use an engine without that, named by DOCKER_HOST." ;;
    esac
    case $info in
        (*name=selinux*)
            problem "The Docker engine confines containers by SELinux, so that neither the proxy nor Watchtower could reach what they need." \
                "Set \"selinux-enabled\": false in Docker's daemon.json and restart it, or use an engine without that, named by DOCKER_HOST." ;;
    esac
    docker_root=${info#*|}
    docker_root=${docker_root%%|*}
    advice='Remove or rename it, or choose another name with --runtime-name.'
    case " $FIRST " in
        (*" $runtime "*)
            if is_legacy "$runtime"; then
                advice='It seems to be of the first generation. Install beside it with --runtime-name NAME --replace-legacy,'
                advice="$advice which stops it once the new one runs; --beside-legacy instead leaves it alone."
            fi ;;
    esac
    for name in $(strangers); do problem "A container $name is there that is not ours." "$advice"; done
    if [ -n "$network" ] && [ "$network" != bridge ] && [ "$network" != host ] && ! docker network inspect "$network" >/dev/null 2>&1; then
        problem "There is no Docker network $network." "Make it first: docker network create $network"
    fi
}

choose_engine() {
    DOCKER_HOST=$(first "${DOCKER_HOST:-}" "$(env_value DOCKER_HOST)" \
        "$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || :)" unix:///var/run/docker.sock)
    export DOCKER_HOST
}

at_least_1_41() {
    case $1 in
        ([0-9]*.[0-9]*) ;;
        (*) return 1 ;;
    esac
    case ${1%%.*}${1#*.} in (*[!0-9]*) return 1 ;; esac
    [ "${1%%.*}" -gt 1 ] || { [ "${1%%.*}" -eq 1 ] && [ "${1#*.}" -ge 41 ]; }
}

# "of RUNTIME" for a container of ours, "of" for another's, nothing where there is none. Fails when the engine does not say.
owner_of() { about "$1" 'of {{index .Config.Labels "flageemonitor.runtime"}}'; }

# State of the container $1, nothing where there is none. Fails when the engine does not say.
state_of() { about "$1" '{{.State.Status}}'; }

# about CONTAINER FORM
about() {
    if ! found=$(docker container inspect --format "{{.Name}} $2" "$1" 2>/dev/null); then
        # An engine that went away is not a container that went away. Asked again, because docker also warns of other things.
        found=$(docker container inspect --format "{{.Name}} $2" "$1" 2>&1 >/dev/null) || :
        case $found in (*'o such container'*) return 0 ;; (*) return 1 ;; esac
    fi
    # Docker also answers to the beginning of another container's id.
    case $found in
        ("/$1 "*) printf '%s\n' "${found#* }" ;;
    esac
}

# Containers with a name of this runtime's that are not of it. Fails when the engine does not say.
strangers() {
    for part in '' -watchtower -candidate -previous; do
        owner=$(owner_of "$runtime$part") || return 1
        case $owner in
            ('' | "of $runtime") ;;
            (*) printf '%s\n' "$runtime$part" ;;
        esac
    done
}

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

check_neighbours() {
    [ "$engine" = yes ] || return 0
    legacy_ones='' at_work=no signs='' ours=''
    for name in $FIRST; do
        # Of what is called as this runtime was told already.
        [ "$name" != "$runtime" ] || continue
        if is_legacy "$name"; then
            legacy_ones="$legacy_ones $name" signs="$signs, the container $name"
            [ "$(state_of "$name")" != running ] || at_work=yes
        elif [ -n "$owner" ]; then
            ours=$name
        fi
    done
    if [ "$runtime" != ariusmonitor ] && [ -e /etc/ariusmonitor ] &&
        [ ! -e /etc/ariusmonitor/flageemonitor.env ] && [ ! -e /etc/ariusmonitor/.flageemonitor ]; then
        signs="$signs, /etc/ariusmonitor"
    fi
    if [ "$legacy" = replace ] && [ -z "$signs" ] && [ -n "$ours" ]; then
        problem "The proxy $ours on this host is not of the first generation: --replace-legacy is not for it." \
            "Leave that option away; to remove that proxy: --uninstall --runtime-name $ours."
    fi
    if [ -z "$legacy" ] && { [ "$at_work" = yes ] || { [ "$fresh" = yes ] && [ -n "$signs" ]; }; }; then
        problem "A proxy of the first generation is on this host (${signs#, }): both would work on the same terminals." \
            "Say what is meant: --replace-legacy stops it once this one runs, --beside-legacy leaves it alone."
    fi
    [ "$foreign" = no ] || return 0
    for name in $(foreign_watchtowers); do
        if [ "$legacy" = replace ] && [ "$name" != "$runtime-watchtower" ]; then
            case " $FIRST " in (*" ${name%-watchtower} "*) ! is_legacy "$name" || continue ;; esac
        fi
        problem "The container $name is a Watchtower without scope: it ends ours when it starts, and updates the proxy without asking it first." \
            "Give it a scope (WATCHTOWER_SCOPE), or accept that with --allow-foreign-watchtower."
    done
}

# Whether the container $1 is there and is no runtime's of this generation.
is_legacy() {
    owner=$(owner_of "$1") || owner=''
    case $owner in ('' | 'of '[a-z0-9]*) return 1 ;; esac
}

foreign_watchtowers() {
    # shellcheck disable=SC2046 # ids
    set -- $(docker ps -q 2>/dev/null)
    [ $# -gt 0 ] || return 0
    form='{{.Name}}|{{.Config.Image}}|{{index .Config.Labels "com.centurylinklabs.watchtower"}}'
    form="$form{{\"\\t\"}}{{json .Config.Env}}{{\"\\t\"}}{{json .Args}}{{json .Config.Cmd}}"
    { docker inspect --type container --format "$form" "$@" 2>/dev/null || :; } | awk -F '\t' '
        { split($1, what, "|") }
        (what[3] == "true" || what[2] ~ /watchtower/) && $2 !~ /"WATCHTOWER_SCOPE=[^"]/ && $3 !~ /"--scope["=]/ { print substr(what[1], 2) }'
}

check_space() {
    need_space "${docker_root:-/var/lib/docker}" 2000 "for images"
    facts="$facts $free MB free in ${place:-/};"
    need_space /var/lib 500 "for the proxy's data"
    need_space /etc 5 "for settings"
}

# need_space PATH MEGABYTES WHAT-FOR
need_space() {
    case $1 in (/*) place=$1 ;; (*) place=/ ;; esac
    while [ ! -d "$place" ] && [ -n "$place" ]; do place=${place%/*}; done
    free=$(df -Pk "${place:-/}" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')
    case $free in ('' | *[!0-9]*) return 0 ;; esac
    if [ "$free" -lt "$2" ]; then
        problem "Only $free MB are free in ${place:-/} $3; $2 MB are wanted." "Make room, for example: docker system prune"
    fi
}

check_machine() {
    machine=$(uname -m)
    case $machine in
        (x86_64 | amd64) ;;
        (aarch64 | arm64 | *)
            [ -n "$image" ] || [ -n "$(env_value FLAGEEMONITOR_IMAGE)" ] ||
                problem "This machine is $machine; the image is built for x86_64." "Name an image that was built for it with --image." ;;
    esac
    facts="$facts $machine;"
}

check_ca() {
    trust=''
    if [ -n "$ca" ]; then
        if [ ! -f "$ca" ] || ! grep -q 'BEGIN CERTIFICATE' "$ca" 2>/dev/null; then
            problem "--ca: $ca is not a readable file with a certificate (PEM)." "Ask who runs the control plane for the certificate of their authority."
        elif grep -q 'PRIVATE KEY' "$ca"; then
            problem "--ca: $ca holds a private key, which does not belong here." "Use a file with the certificate alone."
        else
            trust=$ca
        fi
    elif [ -f "$etc/ca.pem" ] && [ -n "$(env_value FLAGEEMONITOR_CA_PATH)" ]; then
        trust=$etc/ca.pem
    fi
    if [ -n "$registry_file" ] && [ ! -r "$registry_file" ]; then
        problem "--registry-token-file: $registry_file cannot be read." "Correct the path."
    fi
}

ask() { curl -sS --connect-timeout 10 --max-time 60 ${trust:+--cacert "$trust"} "$@"; }

# ask_as TOKEN ...: the token goes through stdin, where no process list shows it.
ask_as() {
    bearer=$1
    shift
    ask -K - "$@" <<TEXT
header = "X-Bot-Token: $bearer"
TEXT
}

# not_json STATUS ANSWER URL: says in $page and $page_advice what came. Fails for JSON, which is all that the control plane sends.
# Only what no web server sends of itself shows that something stands between: a page as a success, 407, 511, a form for a password.
not_json() {
    title=''
    case $2 in
        (*'<html'* | *'<HTML'* | *'<!DOCTYPE'* | *'<!doctype'* | *'<title'* | *'<TITLE'*)
            came='a web page'
            title=$(one_line "$2" | tr -d '[:cntrl:]' | sed -n 's/.*<[Tt][Ii][Tt][Ll][Ee][^>]*>\([^<]*\)<.*/\1/p' | cut -c 1-80)
            ;;
        (*'{'*'"'*) return 1 ;;
        (*) came='no JSON' ;;
    esac
    came="$came${title:+ titled \"$title\"}"
    page="$3 answered HTTP $1 with $came: the server's own web server or something before it."
    case $1:$2 in
        (404:*) page_advice="Check the address of the control plane: $3" ;;
        (2??:* | 407:* | 511:* | *type=?password* | *type=password* | *TYPE=?PASSWORD* | *TYPE=PASSWORD*)
            page="Something between this host and the control plane answered: $came (HTTP $1), at $3."
            page_advice=$SIGN_IN
            ;;
        (401:* | 403:*) page_advice='The web server, or something before it, asks for a login of its own or bars this host: let this host through there.' ;;
        (429:*) page_advice='It limits how often it is asked: wait, then try again.' ;;
        (5??:*) page_advice='Look into the logs of the control plane and of its web server, then try again.' ;;
        (*) page_advice="Check the address of the control plane: $3" ;;
    esac
}
SIGN_IN='Let this host through the firewall or sign-in portal, or name the right proxy in https_proxy; curl -v shows the page.'

check_server() {
    if ! command -v curl >/dev/null 2>&1; then
        problem "curl is not installed on this host." "Install it with the system's package manager."
        return 0
    fi
    [ -n "$HEALTH_URL" ] || return 0
    code=0
    # No more than a small page is read, however long it goes on.
    answer=$(ask --limit-rate 64k --max-filesize 262144 -D - -w '\nstatus %{http_code}\n' "$HEALTH_URL" 2>&1) || code=$?
    answer=$(printf '%s\n' "$answer" | tr -d '\000\r')
    status=$(printf '%s\n' "$answer" | sed -n 's/^status \([0-9]*\)$/\1/p' | sed '$!d')
    said=$(one_line "$(printf '%s\n' "$answer" | grep '^curl: ' || :)")
    if [ "$code" = 0 ] && not_json "$status" "$answer" "$HEALTH_URL"; then
        problem "$page" "$page_advice"
        return 0
    fi
    case $code:$status in
        (0:200) facts="$facts the control plane ${SERVER_VERSION:+($SERVER_VERSION) }answers;" ;;
        (0:*) problem "The control plane answers at $HEALTH_URL that it is not well (HTTP $status)." "Ask who runs it; its log says why." ;;
        (6:*) problem "The control plane's name cannot be resolved: $said" "Correct this host's DNS." ;;
        (60:* | 77:*) problem "The control plane's certificate is not trusted here: $said" "If it is signed by a private authority, give its certificate with --ca FILE; else look at this host's clock and ca-certificates." ;;
        (*) problem "The control plane cannot be reached at $HEALTH_URL: $said" "Look at firewall and proxy settings between this host and it." ;;
    esac
    check_clock "$(printf '%s\n' "$answer" | sed -n 's/^[Dd][Aa][Tt][Ee]: *//p' | sed '$!d')"
}

# The engine asks, because it is the engine that will pull, through its own proxy and with its own trust. Whether a login would do is
# only known to the pull; and where curl is too old to ask the engine, the pull tells as well. Only what is plainly the network's fault
# counts: engines answer 500 to a login that is wanted, too, and an engine with mirrors may not find what it can pull.
check_registry() {
    if [ "$engine" != yes ] || ! command -v curl >/dev/null 2>&1 || ! is_image "$wanted_image"; then return 0; fi
    answer=$(curl -sS --max-time 60 --noproxy '*' --unix-socket "${DOCKER_HOST#unix://}" -w '\nstatus %{http_code}\n' \
        "http://localhost/distribution/$wanted_image/json" 2>/dev/null) || return 0
    said=$(one_line "$(printf '%s\n' "$answer" | sed -n 's/^{"message":"\(.*\)"}$/\1/p')")
    case $(printf '%s\n' "$answer" | sed -n 's/^status \([0-9]*\)$/\1/p'):$said in
        (200:*) facts="$facts the registry has the image;" ;;
        (5??:*'no such host'* | 5??:*'connection refused'* | 5??:*'no route to host'* | 5??:*'is unreachable'* | 5??:*timeout* | \
            5??:*'deadline exceeded'* | 5??:*'reset by peer'* | 5??:*x509* | 5??:*'server gave HTTP response to HTTPS'*)
            problem "The registry of $wanted_image cannot be reached by the Docker engine: $said" \
            "Look at DNS, firewall and the engine's proxy settings; a private authority belongs in /etc/docker/certs.d." ;;
    esac
}

# check_clock DATE-HEADER: without one, the time at which the script was rendered.
check_clock() {
    theirs=$(printf '%s\n' "$1" | awk '
        $6 == "GMT" {
            m = (index("JanFebMarAprMayJunJulAugSepOctNovDec", $3) + 2) / 3; y = $4; split($5, t, ":")
            if (m < 3) { m += 12; y-- }
            days = 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * (m - 3) + 2) / 5) + $2 - 1 - 719468
            printf "%d\n", days * 86400 + t[1] * 3600 + t[2] * 60 + t[3]
        }')
    theirs=${theirs:-$SERVER_TIME}
    case $theirs in ('' | *[!0-9]*) return 0 ;; esac
    off=$(($(date +%s) - theirs))
    if [ "$off" -gt 300 ] || [ "$off" -lt -300 ]; then
        problem "This host's clock and the control plane's are ${off#-} seconds apart." \
            "Set the clock, for example: timedatectl set-ntp true. If this script was saved a while ago, get a new one."
    fi
    facts="$facts clock ${off#-} s apart."
}

one_line() { printf '%s' "$1" | tr -s '\n\r\t ' '    '; }

# ---- What holds everything together: one installer at a time, and a way back

# A process number may be used again: the time of its start tells.
started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

is_alive() {
    case ${1%% *} in ('' | *[!0-9]*) return 1 ;; esac
    kill -0 "${1%% *}" 2>/dev/null && [ "$1" = "${1%% *} $(started "${1%% *}")" ]
}

lock() {
    locked=no changed=no made_etc=no made_var=no goes=no deployed=no new_token=no left_over=no marked=no
    stage=$etc/.install tty_state='' outcome='' authority_was=''
    trap finish EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ ! -d "$etc" ]; then
        mkdir -m 700 "$etc" || fail "$etc cannot be made." "Is the file system full or read-only?"
        made_etc=yes
    fi
    if ! mkdir -m 700 "$stage" 2>/dev/null; then
        [ -d "$stage" ] || fail "$etc cannot be written." "Is the file system full or read-only?"
        holder=$(cat "$stage/pid" 2>/dev/null) || { sleep 1; holder=$(cat "$stage/pid" 2>/dev/null) || holder=; }
        is_alive "$holder" && busy
        # An installer that was killed left it. Renaming it is what only one of several can do.
        mv "$stage" "$stage.$$" 2>/dev/null || busy
        if [ "$(cat "$stage.$$/pid" 2>/dev/null || :)" != "$holder" ]; then
            mv "$stage.$$" "$stage" || :
            busy
        fi
        rm -rf "$stage.$$"
        mkdir -m 700 "$stage" 2>/dev/null || busy
        warn "(an earlier installer was killed here; going on)"
    fi
    locked=yes
    printf '%s\n' "$$ $(started "$$")" >"$stage/pid"
    printf '' >"$stage/undo"
    # From here on nobody else changes it.
    fresh=no
    if [ ! -f "$env_file" ]; then
        owner=$(owner_of "$runtime") || fail "The Docker engine went away." "Nothing was changed. Try again."
        [ -n "$owner" ] || fresh=yes
    fi
    sweep
}

# Removes what a killed installer left beside its targets.
sweep() {
    targets | while IFS= read -r path; do
        names_beside "$path"
        rm -f "$beside_new" "$beside_old"
    done
    for path in "$stage".*; do
        kill -0 "${path##*.}" 2>/dev/null || rm -rf "$path"
    done
}

# From here on what is in $etc is ours, should this be killed. The environment file says so later.
mark() {
    if [ -f "$marker" ]; then left_over=yes made_etc=yes; else marked=yes; fi
    printf '%s\n' "$runtime" >"$marker" || cannot_write "$marker"
}

busy() {
    printf '%s\n' "Another installer is at work on $runtime; nothing was changed." >&2
    exit 6
}

cannot_write() { fail "$1 cannot be written." "Is the file system full or read-only, or a folder of that name there?"; }

# Names for the next and the former content of the file $1: in its folder, so that both ways are only a rename, which wants no space;
# known beforehand, so that they are found again.
names_beside() {
    beside_new=${1%/*}/.${1##*/}.new beside_old=${1%/*}/.${1##*/}.old
}

# Puts the file $1 in the place of $2, whole or not at all, and keeps what was there until the end. For folders that only root writes.
put() {
    names_beside "$2"
    changed=yes
    if ! grep -qxF -e "kept $2" -e "made $2" "$stage/undo"; then
        was=made
        if [ -f "$2" ] || [ -L "$2" ]; then
            was=kept
            if ! cp -pP "$2" "$beside_old"; then
                rm -f "$beside_old"
                cannot_write "$2"
            fi
        fi
        printf '%s\n' "$was $2" >>"$stage/undo" || cannot_write "$2"
    fi
    if ! { cp -p "$1" "$beside_new" && take_place "$beside_new" "$2"; }; then
        rm -f "$beside_new"
        cannot_write "$2"
    fi
    rm -f "$1"
}

# A link is replaced, not followed; a folder stays.
take_place() {
    if [ -L "$2" ]; then rm -f "$2"; fi
    [ ! -d "$2" ] && mv -f "$1" "$2"
}

# Puts the file $1 into the proxy's own folder under its name. Whoever is in the container may lay anything there at any moment: only
# renames with nothing but the folder named, which follow no link, are safe.
put_in_config() {
    changed=yes
    mv -f "$1" "$etc/config/" || cannot_write "$etc/config/${1##*/}"
}

# Sets held to a file of root's folder that is what is called $1 in the proxy's own folder; fails unless that is a plain file. The second
# name is the same file, also where it is a link, and nobody can change it for another.
hold() {
    held=$stage/held-$1
    rm -f "$held"
    ln "$etc/config/$1" "$held" 2>/dev/null && [ -f "$held" ] && [ ! -L "$held" ]
}

# Only renames and removals: a full disk does not hinder it.
put_back() {
    while IFS=' ' read -r was path; do
        names_beside "$path"
        case $was in
            (kept) take_place "$beside_old" "$path" || warn "not put back: $path" ;;
            (*) rm -f "$path" ;;
        esac
    done <"$stage/undo"
    case $authority_was in
        (kept) mv -f "$stage/former/ca.pem" "$etc/config/" ;;
        (made) rm -f "$etc/config/ca.pem" ;;
    esac
}

# There is no way back any more.
keep_all() {
    authority_was=''
    while IFS=' ' read -r was path; do
        names_beside "$path"
        rm -f "$beside_old"
    done <"$stage/undo"
    printf '' >"$stage/undo"
}

# shellcheck disable=SC2317 # a trap calls it
finish() {
    code=$?
    trap '' INT TERM HUP
    trap - EXIT
    set +e
    [ -z "$tty_state" ] || stty "$tty_state" </dev/tty
    if [ "$locked" = yes ]; then
        if [ "$code" = 0 ]; then
            keep_all
        elif [ "$changed" = yes ]; then
            undo >&2
        elif [ "$marked" = yes ]; then
            rm -f "$marker"
        fi
        rm -rf "$stage"
    fi
    [ "$made_etc" = no ] || [ "$code" = 0 ] || rmdir "$etc" 2>/dev/null
    case $code in (129 | 130 | 143) code=1; warn "Interrupted." ;; esac
    exit "$code"
}

# shellcheck disable=SC2317 # a trap calls it
undo() {
    name_places
    if [ "$fresh" = yes ]; then
        say "" "==> Taking back what was made"
        # Before `start` there is no container.
        if [ "$deployed" = yes ] && ! { engine_answers && remove_timer && remove_containers; }; then
            keep_all
            say "Not taken back: containers of $runtime may be there, so $etc, $var and the commands stay." \
                "When the Docker engine answers, start again (with a new line), or remove all with --uninstall."
            return 0
        fi
        printf '%s\n' "$runtime" >"$marker"
        put_back
        reload_systemd
        for name in $TOOLS; do rm -f "$bin/$runtime-$name"; done
        empty_settings
        rm -f "$env_file"
        [ "$made_var" = no ] || rm -rf "$var"
        [ "$left_over" = no ] || rmdir "$var" 2>/dev/null
        if [ "$made_etc" = yes ]; then rm -rf "$etc"; else rm -f "$marker"; fi
        say "Nothing is installed. Correct what is said above and start again" \
            "(with a new line from flagee-server install-command: each works once)."
        [ "$new_token" = no ] || say "The control plane goes on knowing agent $agent_id, whose token nobody holds now:" \
            "flagee-server token list, token revoke ID."
    else
        say "" "==> Putting back what was there"
        put_back
        reload_systemd
        # What runs, or half runs, is left to the next repair: a container is never removed here.
        if [ "$goes" = yes ]; then
            say "$runtime runs as specified, but is not complete. Correct what is said above and start again."
        elif [ ! -x "$bin/$runtime-update-image" ]; then
            say "There were no commands of $runtime before, and there are none now; what of it runs was left alone." \
                "Correct what is said above and start again, or remove what is left with --uninstall."
        elif [ "$outcome" = 12 ]; then
            say "The lines above say what to do. Then: $runtime-update-image --repair"
        elif [ "$(state_of "$runtime")" = running ]; then
            say "The previous installation of $runtime goes on. See: $runtime-update-image --status"
        else
            say "The previous installation of $runtime is in its place, but does not run, or the Docker engine does not answer." \
                "See: $runtime-update-image --status. To mend it: $runtime-update-image --repair"
        fi
    fi
}

# Removes all settings but the environment file and what says whose this is: a kill must not leave a folder that nobody knows.
empty_settings() {
    for path in "$etc"/* "$etc"/.*; do
        case $path in
            ("$etc/." | "$etc/.." | "$env_file" | "$stage" | "$marker") ;;
            (*) rm -rf "$path" ;;
        esac
    done
}

reload_systemd() {
    if has_systemd; then systemctl daemon-reload >/dev/null 2>&1 || :; fi
}

has_systemd() { [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; }

# ---- Installing, in the order in which it is done

install() {
    check_everything
    if [ "$dry_run" = yes ]; then
        plan
        return 0
    fi
    lock
    [ "$fresh" = no ] || mark
    pull_image
    enrol
    make_folders
    write_environment
    first_configuration
    write_wrappers
    start
    # From here on there is nothing before it to go back to, unless it is a first installation.
    goes=yes
    [ "$fresh" = yes ] || keep_all
    set_timer
    stop_legacy
    # What is said to be there must be there after a power cut as well.
    sync || :
    summary
}

plan() {
    say "" "Nothing is changed (--dry-run). To be done for network $NETWORK${CLIENT:+ of $CLIENT}:"
    say "  pull $wanted_image"
    if [ "$fresh" = yes ]; then
        say "  enrol this host at $ENROLL_URL; the token stays in $etc/config/token"
    else
        say "  keep agent $(env_value FLAGEEMONITOR_AGENT_ID), and its token if it still works"
    fi
    say "  write $env_file; folders $etc/config and $var for the proxy, user ${OWNER%:*}"
    say "  fetch the configuration with a container that ends at once"
    say "  write commands $bin/$runtime-{$(printf '%s' "$TOOLS" | tr ' ' ,)}"
    say "  start, or go over to, the containers $runtime and $runtime-watchtower; Docker's socket is for Watchtower only"
    if has_systemd; then
        say "  set the timer $runtime-repair.timer"
    elif [ -d /etc/cron.d ]; then
        say "  write $(cron_file)"
    fi
    [ "$legacy" = replace ] || return 0
    for name in $legacy_ones; do say "  stop the container $name and its Watchtower; their files stay"; done
}

pull_image() {
    step "Pulling $wanted_image"
    credentials=''
    if [ -n "$registry_user" ]; then
        mkdir -m 700 "$stage/docker"
        write_credentials >"$stage/docker/config.json"
        credentials=$stage/docker
    elif [ -f "$etc/docker/config.json" ]; then
        credentials=$etc/docker
    fi
    said=''
    if [ -t 1 ]; then
        docker ${credentials:+--config "$credentials"} pull "$wanted_image" && return 0
    else
        said=$(docker ${credentials:+--config "$credentials"} pull --quiet "$wanted_image" 2>&1) && return 0
    fi
    fail "The image $wanted_image cannot be had. $(one_line "$said")" "Nothing was changed." \
        "Is its registry reachable from here? If it asks for a login: --registry-user NAME."
}

# The form of `docker login`, which would want the secret's end of line and could leave it elsewhere.
write_credentials() {
    secret=''
    if [ -n "$registry_file" ]; then
        IFS= read -r secret <"$registry_file" || :
        secret=$(printf '%s' "$secret" | tr -d '\r')
    elif has_tty; then
        tty_state=$(stty -g </dev/tty)
        printf '%s' "Password or token of $registry_user: " >/dev/tty
        stty -echo </dev/tty
        IFS= read -r secret </dev/tty || :
        stty "$tty_state" </dev/tty
        tty_state=''
        printf '\n' >/dev/tty
    else
        fail "There is no terminal to ask for the password of $registry_user." "Give it with --registry-token-file FILE. Nothing was changed."
    fi
    [ -n "$secret" ] || fail "The password of $registry_user is empty." "Nothing was changed."
    registry=${wanted_image%%/*}
    case $registry in
        ("$wanted_image") registry=docker.io ;;
        (*[.:]* | localhost) ;;
        (*) registry=docker.io ;;
    esac
    [ "$registry" != docker.io ] || registry=https://index.docker.io/v1/
    printf '{"auths": {"%s": {"auth": "%s"}}}\n' "$registry" "$(base64_of)"
}

# Of user and secret. Both go through stdin; `base64` is not in every userland.
base64_of() {
    od -An -v -tu1 <<TEXT | awk '
        { for (i = 1; i <= NF; i++) byte[n++] = $i }
        END {
            n-- # the end of line
            letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            for (i = 0; i < n; i += 3) {
                word = byte[i] * 65536 + (i + 1 < n ? byte[i + 1] * 256 : 0) + (i + 2 < n ? byte[i + 2] : 0)
                text = text substr(letters, int(word / 262144) + 1, 1) substr(letters, int(word / 4096) % 64 + 1, 1)
                text = text (i + 1 < n ? substr(letters, int(word / 64) % 64 + 1, 1) : "=")
                text = text (i + 2 < n ? substr(letters, word % 64 + 1, 1) : "=")
            }
            print text
        }'
$registry_user:$secret
TEXT
}

has_tty() { (: </dev/tty) 2>/dev/null; }

enrol() {
    agent_id=$(first "$(env_value FLAGEEMONITOR_AGENT_ID)" "$(env_value ARIUSMONITOR_AGENT_ID)")
    token=''
    if hold token; then
        IFS= read -r token <"$held" || :
        token=$(printf '%s' "$token" | tr -d '\r')
    fi
    if [ -n "$agent_id" ] && is_token "$token" && token_works; then
        step "Keeping agent $agent_id and its token"
        return 0
    fi
    [ -n "$agent_id" ] || agent_id=$(new_agent_id)
    step "Enrolling agent $agent_id for network $NETWORK"
    body="{\"agent_id\": \"$agent_id\", \"hostname\": \"$(host_name)\"}"
    answer=$(ask_as "$BOOTSTRAP_TOKEN" -X POST -H 'Content-Type: application/json' --data "$body" -w '\n%{http_code}\n' \
        "$ENROLL_URL?rede=$NETWORK" 2>&1) || fail "The control plane did not answer: $(one_line "$answer")" "Nothing was changed. Try again."
    status=$(printf '%s\n' "$answer" | sed '$!d')
    if not_json "$status" "$answer" "$ENROLL_URL"; then
        fail "$page" "Nothing was changed here. $page_advice"
    elif [ "$status" != 201 ]; then
        reason=$(printf '%s\n' "$answer" | sed -n 's/.*"detail"[[:space:]]*:[[:space:]]*"\([^"]*\).*/\1/p')
        fail "The control plane refused to enrol this host (HTTP $status)${reason:+: $reason}" "Nothing was changed." \
            "A line of flagee-server install-command works once, for an hour: get a new one."
    fi
    token=$(printf '%s\n' "$answer" | sed -n 's/.*"token"[[:space:]]*:[[:space:]]*"\([^"\\]*\)".*/\1/p')
    is_token "$token" || fail "The control plane's answer holds no token." "Nothing was changed. Report this to who runs it."
    new_token=yes
}

token_works() {
    status=$(ask_as "$token" -o /dev/null -w '%{http_code} %{content_type}' "$API_BASE/bot/config?rede=$NETWORK" 2>/dev/null) || status=000
    case $status in
        (*text/html*)
            not_json "${status%% *}" '<html' "$API_BASE/bot/config"
            fail "$page" "Nothing was changed. $page_advice"
            ;;
    esac
    status=${status%% *}
    case $status in
        (401 | 403) return 1 ;;
        (000 | 5??) fail "The control plane did not say whether this host's token still works (HTTP $status)." "Nothing was changed. Try again." ;;
    esac
}

# A UUIDv7: milliseconds since 1970, version, chance.
new_agent_id() {
    chance=$(od -An -v -N12 -tx1 /dev/urandom | tr -d ' \n')
    stamp=$(printf '%012x' "$(($(date +%s) * 1000 + 0x$(printf '%s' "$chance" | cut -c 21-24) % 1000))")
    printf '%s-%s-7%s-%x%s-%s\n' "${stamp%????}" "${stamp#????????}" "$(printf '%s' "$chance" | cut -c 1-3)" \
        "$((0x$(printf '%s' "$chance" | cut -c 4) % 4 + 8))" "$(printf '%s' "$chance" | cut -c 5-7)" "$(printf '%s' "$chance" | cut -c 8-19)"
}

host_name() {
    name=$(uname -n | tr -cd 'A-Za-z0-9._-')
    printf '%s\n' "${name:-unknown}"
}

make_folders() {
    step "Preparing $etc and $var"
    changed=yes
    mkdir -p "$etc/config"
    (umask 022 && mkdir -p "$bin" /var/lib)
    if [ ! -d "$var" ]; then
        mkdir -m 700 "$var"
        made_var=yes
    fi
    chmod 700 "$etc" "$etc/config" "$var"
    chown 0:0 "$etc"
    chown "$OWNER" "$etc/config" "$var"
    mkdir -p "$stage/config" "$stage/former"
    if [ "$new_token" = yes ]; then
        printf '%s\n' "$token" >"$stage/config/token" || cannot_write "$etc/config/token"
        chmod 400 "$stage/config/token"
        chown "$OWNER" "$stage/config/token"
        # Not to be taken back: the control plane has ended the one before.
        put_in_config "$stage/config/token"
    fi
    if [ -n "$ca" ]; then
        # Twice: root reads nothing that the proxy may have changed.
        cat "$ca" >"$stage/ca.pem" || cannot_write "$etc/ca.pem"
        chmod 444 "$stage/ca.pem"
        cp "$stage/ca.pem" "$stage/config/ca.pem" || cannot_write "$etc/config/ca.pem"
        chmod 444 "$stage/config/ca.pem"
        chown "$OWNER" "$stage/config/ca.pem"
        put "$stage/ca.pem" "$etc/ca.pem"
        authority_was=made
        if hold ca.pem; then
            mv -f "$held" "$stage/former/ca.pem"
            authority_was=kept
        fi
        put_in_config "$stage/config/ca.pem"
    fi
    if [ -n "$registry_user" ]; then
        mkdir -p "$etc/docker"
        chmod 700 "$etc/docker"
        put "$stage/docker/config.json" "$etc/docker/config.json"
    fi
}

write_environment() {
    if [ -f "$env_file" ]; then
        cp -p "$env_file" "$stage/env"
    else
        printf '%s\n' "# FlageeMonitor Proxy, $runtime: KEY=the rest of the line, without quotes. Every key: docs/proxy-settings.md." \
            "# A change takes effect with: $runtime-update-image" >"$stage/env"
    fi
    installed=$env_file
    env_file=$stage/env
    set_key FLAGEEMONITOR_REDE "$NETWORK"
    set_key FLAGEEMONITOR_API_BASE "$API_BASE"
    set_key FLAGEEMONITOR_AGENT_ID "$agent_id"
    set_key FLAGEEMONITOR_RUNTIME_NAME "$runtime"
    offer_key IMAGE "$image" "$IMAGE" ""
    offer_key WATCHTOWER_IMAGE "$watchtower_image" "$WATCHTOWER_IMAGE" containrrr/watchtower:1.7.1
    offer_key WATCHTOWER_INTERVAL "$interval" "$WATCHTOWER_INTERVAL" 300
    offer_key DOCKER_NETWORK "$network" bridge ""
    [ -z "$ca" ] || set_key FLAGEEMONITOR_CA_PATH /flageemonitor/config/ca.pem
    [ -n "$(env_value RUN_MODE)" ] || set_key RUN_MODE daemon
    [ -n "$(env_value TZ)" ] || [ -z "$TIMEZONE" ] || set_key TZ "$TIMEZONE"
    if [ "$DOCKER_HOST" != unix:///var/run/docker.sock ]; then set_key DOCKER_HOST "$DOCKER_HOST"; fi
    chmod 600 "$stage/env"
    chown 0:0 "$stage/env"
    write_container_environment
    env_file=$installed
    put "$stage/env" "$env_file"
    rm -f "$marker"
}

set_key() {
    line="$1=$2" written=no
    while IFS= read -r old || [ -n "$old" ]; do
        case $old in
            ("$1="*)
                [ "$written" = yes ] || printf '%s\n' "$line"
                written=yes ;;
            (*) printf '%s\n' "$old" ;;
        esac
    done <"$stage/env" >"$stage/env.new"
    [ "$written" = yes ] || printf '%s\n' "$line" >>"$stage/env.new"
    mv -f "$stage/env.new" "$stage/env"
}

# offer_key WORD OPTION RENDERED DEFAULT: the option; else what stands there; else what the control plane says; else the default.
offer_key() {
    if [ -n "$2" ]; then
        set_key "FLAGEEMONITOR_$1" "$2"
        return 0
    fi
    there=$(first "$(env_value "FLAGEEMONITOR_$1")" "$(env_value "ARIUSMONITOR_$1")")
    if [ -z "$there" ]; then
        set_key "FLAGEEMONITOR_$1" "$(first "$3" "$4")"
    elif [ -n "$3" ] && [ "$there" != "$3" ] && [ "$1" != DOCKER_NETWORK ]; then
        warn "keeping FLAGEEMONITOR_$1=$there, although the control plane names $3"
    fi
}

# What the first container gets: by a file, so that no process list shows it.
write_container_environment() {
    for key in REDE API_BASE CONFIG_URL TOKEN_FILE TOKEN AGENT_ID RUNTIME_NAME CA_PATH INSECURE LOG_FORMAT; do
        value=$(first "$(env_value "FLAGEEMONITOR_$key")" "$(env_value "ARIUSMONITOR_$key")")
        [ -z "$value" ] || printf '%s\n' "FLAGEEMONITOR_$key=$value"
    done >"$stage/container.env"
    value=$(env_value TZ)
    [ -z "$value" ] || printf '%s\n' "TZ=$value" >>"$stage/container.env"
    container_network=$(first "$(env_value FLAGEEMONITOR_DOCKER_NETWORK)" bridge)
}

first_configuration() {
    step "Fetching the configuration"
    code=0
    docker run --rm --user "$OWNER" --network "$container_network" --read-only --tmpfs /tmp --cap-drop ALL \
        --security-opt no-new-privileges --env-file "$stage/container.env" \
        -v "$etc/config:/flageemonitor/config" -v "$var:/flageemonitor/data" "$wanted_image" config refresh || code=$?
    [ "$code" != 0 ] || return 0
    if [ "$fresh" = no ] && [ -f "$etc/config/config_bot.json" ]; then
        warn "not fetched (exit code $code): the last valid configuration stays in force"
        return 0
    fi
    fail "The first configuration could not be fetched (exit code $code); the lines above say why." \
        "If the container cannot reach the control plane although this host can: --docker-network host."
}

write_wrappers() {
    step "Writing the commands $bin/$runtime-*"
    for name in $TOOLS; do
        wrapper "$name" | sed "s/@RUNTIME_NAME@/$runtime/g" >"$stage/wrapper"
        [ "$(sed -n '$p' "$stage/wrapper")" = 'exit; }' ] ||
            fail "The command $name is not whole." "Is the file system full? Else get this script again from the control plane."
        chmod 755 "$stage/wrapper"
        put "$stage/wrapper" "$bin/$runtime-$name"
    done
}

start() {
    step "Starting, or going over to, $runtime and $runtime-watchtower"
    tries=30
    deployed=yes
    while :; do
        code=0
        "$bin/$runtime-update-image" >"$stage/answer" || code=$?
        cat "$stage/answer"
        tries=$((tries - 1))
        # The timer of an earlier installation may be at work just now.
        if [ "$code" != 6 ] || [ "$tries" = 0 ]; then break; fi
        sleep 5
    done
    case $code in
        (0) ;;
        (6)
            printf '%s\n' "Another update of $runtime is still at work. Run this again when it has ended." >&2
            exit 6 ;;
        (1)
            tab=$(printf '\t')
            case $(sed -n '$p' "$stage/answer") in
                (pinned[:"$tab"]*)
                    warn "$runtime keeps what it is pinned to; its next repair brings the rest of the settings into force." \
                        "To follow the image's tag again: $runtime-update-image --resume" ;;
                (*) fail "$runtime-update-image failed (exit code 1); the lines above say why." ;;
            esac ;;
        (75) fail "Runs are still at work, so the new version did not start." "Run this again later." ;;
        (*)
            outcome=$code
            fail "$runtime-update-image failed (exit code $code); the lines above say why." ;;
    esac
}

# Cron passes over names with a dot. No name of a runtime has a capital letter, so no two of them share a file.
cron_file() { printf '/etc/cron.d/%s-repair\n' "$(printf '%s' "$runtime" | sed 's/[.]/DOT/g')"; }

set_timer() {
    if has_systemd; then
        step "Setting the timer $runtime-repair.timer, which mends what is broken every five minutes"
        cat >"$stage/service" <<TEXT
[Unit]
Description=FlageeMonitor Proxy $runtime: mend its containers
After=docker.service network-online.target
ConditionPathExists=$bin/$runtime-update-image

[Service]
Type=oneshot
ExecStart=$bin/$runtime-update-image --repair
# 6: another update is at work; 75: runs are. Both are seen to the next time.
SuccessExitStatus=6 75
TimeoutStartSec=1h
Nice=5
TEXT
        cat >"$stage/timer" <<TEXT
[Unit]
Description=FlageeMonitor Proxy $runtime: mend its containers every five minutes

[Timer]
OnBootSec=5min
OnUnitActiveSec=5min
RandomizedDelaySec=30s

[Install]
WantedBy=timers.target
TEXT
        chmod 644 "$stage/service" "$stage/timer"
        put "$stage/service" "/etc/systemd/system/$runtime-repair.service"
        put "$stage/timer" "/etc/systemd/system/$runtime-repair.timer"
        { systemctl daemon-reload && systemctl enable --quiet --now "$runtime-repair.timer"; } ||
            fail "systemd did not take the timer $runtime-repair.timer." "See: systemctl status $runtime-repair.timer"
    elif [ -d /etc/cron.d ]; then
        step "Writing $(cron_file), which mends what is broken every five minutes"
        # Hosts must not all come at the same minute.
        cat >"$stage/cron" <<TEXT
# FlageeMonitor Proxy $runtime: mends its containers
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
$(($$ % 5))-59/5 * * * * root $bin/$runtime-update-image --repair >/dev/null 2>&1
TEXT
        chmod 644 "$stage/cron"
        put "$stage/cron" "$(cron_file)"
        command -v cron >/dev/null 2>&1 || command -v crond >/dev/null 2>&1 || warn "no cron was found on this host: install one, it is picked up then"
    else
        warn "Neither systemd nor /etc/cron.d is here: no timer was set. Have something call every five minutes: $bin/$runtime-update-image --repair"
    fi
}

stop_legacy() {
    [ "$legacy" = replace ] || return 0
    if [ "$(state_of "$runtime")" != running ]; then
        warn "$runtime does not run yet, so the proxy of the first generation was left alone. Start this again when it does."
        return 0
    fi
    for proxy in $FIRST; do
        for name in "$proxy-watchtower" "$proxy"; do
            is_legacy "$name" || continue
            step "Stopping $name for good; its files stay"
            { docker update --restart=no "$name" >/dev/null && docker stop -t 150 "$name" >/dev/null; } ||
                warn "not stopped; do it by hand: docker update --restart=no $name && docker stop $name"
        done
    done
}

summary() {
    cat <<TEXT

Installed: $runtime, network $NETWORK${CLIENT:+ of $CLIENT}, agent $agent_id.

  $runtime-run ACTION ...      run an action on terminals; first: $runtime-run doctor
  $runtime-logs -f             what the proxy does
  $runtime-update-config       fetch the configuration now
  $runtime-update-image        update now; --status, --repair, --rollback, --resume
  $runtime-watchtower-logs     what Watchtower does

Settings: $env_file. To remove it: this script with --uninstall.
TEXT
}

# ---- Removing

uninstall() {
    name_places
    [ "$(id -u)" = 0 ] || { printf '%s\n' "This needs root: run it with sudo." >&2; exit 1; }
    if [ -L "$etc" ] || [ -L "$var" ]; then
        printf '%s\n' "Not removed: $etc or $var is a link. Nothing was changed." >&2
        exit 1
    fi
    if ! command -v docker >/dev/null 2>&1; then
        printf '%s\n' "Not removed: docker is not installed, so the containers cannot be removed. Nothing was changed." >&2
        exit 1
    fi
    choose_engine
    if ! said=$(docker version --format '{{.Server.Version}}' 2>&1); then
        printf '%s\n' "Not removed: the Docker engine does not answer at $DOCKER_HOST: $(one_line "$said"). Nothing was changed." >&2
        exit 1
    fi
    # The first generation has the same names, and an environment file where ours is: its containers would go on without their files.
    left=$(strangers) || went_away
    if [ -n "$left" ]; then
        left=$(one_line "$left")
        printf '%s\n' "Not removed: not made by this installer, perhaps by the first generation's: the containers $left. Nothing was changed." \
            "If they are to go as well: docker rm -f $left. Then start this again." >&2
        exit 1
    fi
    owner=$(owner_of "$runtime") || went_away
    if [ ! -f "$env_file" ] && [ ! -f "$marker" ] && [ "$owner" != "of $runtime" ]; then
        if { [ -e "$etc" ] && ! is_empty "$etc"; } || { [ -d "$var" ] && ! is_our_data; }; then
            printf '%s\n' "Nothing to remove: $runtime is not installed here ($etc and $var are not ours)." >&2
            exit 1
        elif [ ! -d "$var" ] && [ ! -d "$etc/.install" ]; then
            say "Nothing to remove: $runtime is not installed here."
            return 0
        fi
    fi
    state=$(state_of "$runtime-deploy") || went_away
    [ "$state" != running ] || { printf '%s\n' "An update of $runtime is at work; nothing was changed. Try again in a minute." >&2; exit 6; }
    choose_fate
    if [ "$dry_run" = yes ]; then
        say "Nothing is changed (--dry-run). To be removed: the containers $runtime and $runtime-watchtower, the timer, $bin/$runtime-*, $etc${fate_text}"
        return 0
    fi
    lock
    remove_timer
    step "Stopping and removing the containers; runs at work get their time to end"
    remove_containers || fail "Not all containers of $runtime were removed, so $etc, $var and the commands stay; the timer is removed." \
        "When the Docker engine answers, start this again."
    step "Removing commands, settings and credentials"
    for name in $TOOLS; do
        if [ -e "$bin/$runtime-$name" ] && ! is_our_command "$bin/$runtime-$name"; then
            warn "not removed, because it is not ours: $bin/$runtime-$name"
        else
            rm -f "$bin/$runtime-$name"
        fi
    done
    image=$(first "$(env_value FLAGEEMONITOR_IMAGE)" "$(env_value ARIUSMONITOR_IMAGE)")
    if [ "$fate" = delete ]; then
        step "Deleting $var"
        rm -rf "$var"
        empty_settings
        rm -f "$env_file"
        rm -rf "$etc"
        locked=no
    elif [ ! -f "$env_file" ]; then
        empty_settings
        rm -rf "$etc"
        locked=no
        say "Kept: $var (data)."
    else
        # The data belongs to this agent: an installation that finds it again must be the same one.
        empty_settings
        say "Kept: $var (data) and $env_file (identity). With --uninstall --delete-data both go."
    fi
    say "Removed: $runtime." ${image:+"The image stays: docker image rm $image."} \
        "Its token is still known to the control plane: flagee-server token list, token revoke ID."
}

went_away() {
    printf '%s\n' "Not removed: the Docker engine went away. Nothing was changed." >&2
    exit 1
}

# Sets fate to keep or delete.
choose_fate() {
    fate=$data
    if [ -z "$fate" ] && [ "$yes" = yes ]; then
        fate=delete
    elif [ -z "$fate" ] && [ "$dry_run" = no ] && has_tty; then
        printf '%s' "Delete the data in $var as well (history, pinned host keys, what was not delivered yet)? [y/N] " >/dev/tty
        IFS= read -r reply </dev/tty || reply=
        case $reply in
            ([yYsS]*) fate=delete ;;
            (*) fate=keep ;;
        esac
    elif [ -z "$fate" ]; then
        fate=keep
        say "Nobody to ask: the data is kept. (--delete-data or --yes deletes it.)"
    fi
    if [ "$fate" = delete ]; then fate_text=", $var"; else fate_text="; $var and $env_file stay"; fi
}

remove_timer() {
    if has_systemd && [ -e "/etc/systemd/system/$runtime-repair.timer" ]; then
        systemctl disable --quiet --now "$runtime-repair.timer" >/dev/null 2>&1 || :
    fi
    rm -f "/etc/systemd/system/$runtime-repair.service" "/etc/systemd/system/$runtime-repair.timer" "$(cron_file)"
    reload_systemd
}

# Fails unless it is sure that none is left: an engine that does not answer says nothing about what runs.
remove_containers() {
    if ! engine_answers; then
        warn "the Docker engine does not answer at $DOCKER_HOST: its containers were not removed"
        return 1
    fi
    # A repair that had begun before its timer was removed.
    tries=60
    while state=$(state_of "$runtime-deploy") && [ "$state" = running ] && [ "$tries" -gt 0 ]; do
        tries=$((tries - 1))
        sleep 2
    done
    all=yes
    # Watchtower first: it would start again what is stopped.
    for part in -deploy -watchtower -candidate -previous ''; do
        owner=$(owner_of "$runtime$part") || owner=unknown
        case $part:$owner in
            (*:unknown) all=no; continue ;;
            (-deploy:of*) ;;
            (*:"of $runtime") docker stop -t 150 "$runtime$part" >/dev/null 2>&1 || : ;;
            (*) continue ;;
        esac
        docker rm -f -v "$runtime$part" >/dev/null && continue
        # It may have gone by itself.
        if ! owner=$(owner_of "$runtime$part") || [ -n "$owner" ]; then
            all=no
            warn "not removed; do it by hand: docker rm -f $runtime$part"
        fi
    done
    docker volume rm "$runtime-candidate" >/dev/null 2>&1 || :
    [ "$all" = yes ]
}

main() {
    umask 077
    LC_ALL=C
    export LC_ALL
    unset RUNTIME_NAME BOOTSTRAP_TOKEN token secret bearer answer # none of them may be exported to what is started
    values
    read_options "$@"
    if [ "$uninstall" = yes ]; then uninstall; else install; fi
}

# Nothing here reads stdin, which is the script itself where it was piped into sh. The braces are for a cut within this line.
{ main "$@" </dev/null; }
