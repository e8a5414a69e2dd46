#!/bin/sh
{ # Everything is inside one pair of braces: a script that was cut off is a syntax error, and none of it runs.
# FlageeMonitor Proxy: installs, repairs, upgrades and removes a proxy on this host. Made by the control plane for one network.
# Needs root, a POSIX shell, curl and Docker. What it does: sh install.sh --help; to see it first: --dry-run.
# It checks the host, pulls the image and starts it once as `deploy install`, which does the rest: enrolment, containers, files;
# with --uninstall as `deploy uninstall`.
set -eu

# What the control plane filled in.
values() {
    API_BASE='' HEALTH_URL='' IMAGE='' # enough for the bare template
    # @@VALUES@@
}

usage() {
    if [ "$language" = pt-BR ]; then cat <<'PORTUGUESE'; else cat <<'ENGLISH'; fi
# @@help.pt@@
PORTUGUESE
# @@help.en@@
ENGLISH
}

# ---- What is said. Nobody has to be reading: a full or closed stdout ends nothing.

show() { printf '%s\n' "$1" 2>/dev/null || :; }
say() { translate "$1"; show "$text"; }
step() { translate "$1"; show "==> $text"; }

# fail CODE SENTENCE [ADVICE]...: what happened, and what to do.
fail() {
    status=$1
    translate "$2"
    what=$text
    shift 2
    {
        say "Failed: $what"
        for advice; do translate "$advice"; [ -z "$text" ] || show "    $text"; done
    } >&2
    exit "$status"
}

bad_usage() { { translate "$1"; show "install.sh: $text"; say 'See: install.sh --help'; } >&2; exit 2; }

# problem SENTENCE ADVICE: collected, so that all of them are told at once.
problem() {
    problems=$((problems + 1))
    translate "$1"
    what=$text
    translate "$2"
    report="$report
  $problems. $what
     $text"
}

# try COMMAND...: sets said to what it prints, on one line, and code to its exit code.
try() {
    code=0
    said=$("$@" 2>&1) || code=$?
    said=$(printf '%s' "$said" | tr -s '\n\r\t ' '    ')
    return "$code"
}

# ---- Options. What only deploy uses is handed on as it is.

read_options() {
    verb=install runtime=flageemonitor image='' ca='' registry_user='' registry_file='' dry_run='' data='' for_deploy='' option=''
    for word; do
        word=$option${option:+=}$word
        option=${word%%=*} value=${word#*=}
        case $word in
            (-h | --help) usage; exit 0 ;;
            (--*=) bad_usage "$option needs a value" ;;
            (--runtime-name=*) runtime=$value ;;
            (--ca=*) ca=$value ;;
            (--registry-user=*) registry_user=$value ;;
            (--registry-token-file=*) registry_file=$value ;;
            (--watchtower-interval=*[!0-9]*) bad_usage "$option: '$value' is not a valid value" ;;
            (--image=* | --watchtower-image=* | --watchtower-interval=* | --update-window=* | --docker-network=*)
                is_word "$value" || bad_usage "$option: '$value' is not a valid value"
                [ "$option" != --image ] || image=$value
                for_deploy="$for_deploy $word" ;;
            (--replace-legacy | --beside-legacy | --allow-foreign-watchtower | --no-auto-update) for_deploy="$for_deploy $word" ;;
            (--dry-run) dry_run=$word ;;
            (--uninstall) verb=uninstall ;;
            (--yes) ;; # nothing is asked
            (--keep-data | --delete-data) data="$data$word" ;;
            (--runtime-name | --image | --watchtower-image | --watchtower-interval | --update-window | --docker-network | --ca | \
                --registry-user | --registry-token-file) continue ;; # the next word is its value
            (*) bad_usage "unknown option: $word" ;;
        esac
        option=''
    done
    [ -z "$option" ] || bad_usage "$option needs a value"
    case $runtime in
        (*[!abcdefghijklmnopqrstuvwxyz0123456789_.-]* | [_.-]* | *-candidate | *-previous | *-watchtower | *-deploy | *-repair)
            bad_usage "--runtime-name: '$runtime' is not allowed; use a-z 0-9 _ . - and no ending of another part (such as -deploy)" ;;
    esac
    [ "${#runtime}" -le 40 ] || bad_usage '--runtime-name: at most 40 characters'
    case "$data $for_deploy" in
        (*--keep-data*--delete-data* | *--delete-data*--keep-data* | *--replace-legacy*--beside-legacy* | *--beside-legacy*--replace-legacy*)
            bad_usage '--keep-data and --delete-data exclude each other, and so do --replace-legacy and --beside-legacy' ;;
    esac
    [ "$verb" = uninstall ] || [ -z "$data" ] || bad_usage "$data belongs to --uninstall"
    [ "$verb" = install ] || for_deploy=${data#--keep-data}
    [ -z "$registry_file" ] || [ -n "$registry_user" ] || bad_usage '--registry-token-file needs --registry-user'
    etc=/etc/$runtime var=/var/lib/$runtime env_file=/etc/$runtime/flageemonitor.env unit=$runtime-repair.timer
}

# Whatever is handed on is one word, for every shell.
is_word() { case $1 in ('' | [!A-Za-z0-9[]* | *[!][A-Za-z0-9._/:@-]*) return 1 ;; esac }

# ---- The host. Nothing is changed by these.

# Value of the key $1 in the environment file, which is read and never sourced.
env_value() {
    [ -r "$env_file" ] || return 0
    tr -d '\r' <"$env_file" | sed -n -e "1s/^$(printf '\357\273\277')//" -e "s/^$1=[[:space:]]*//p" | sed -e 's/[[:space:]]*$//' -e '$!d'
}

first() { for word; do if [ -n "$word" ]; then printf '%s\n' "$word"; return 0; fi; done; }

check_everything() {
    problems=0 report=''
    [ -n "$API_BASE" ] || problem 'This is the bare template.' 'Use the line that flagee-server install-command prints.'
    wanted=$(first "$image" "$(env_value FLAGEEMONITOR_IMAGE)" "$(env_value ARIUSMONITOR_IMAGE)" "$IMAGE")
    is_word "$wanted" ||
        problem "There is no usable name of an image: '$wanted'" "Give one with --image, or correct it in $env_file."
    if [ "$(id -u)" = 0 ]; then
        check_engine
    else
        problem 'This needs root.' 'Paste the line as somebody who may use sudo.'
    fi
    [ "$verb" = uninstall ] || check_server
    for file in "$ca" "$registry_file"; do
        [ -z "$file" ] || [ -r "$file" ] || problem "$file cannot be read." 'Correct the path.'
    done
    # deploy finds out whose folders they are; a link would lead it elsewhere.
    for folder in "$etc" "$var"; do
        if [ -L "$folder" ] || { [ -e "$folder" ] && [ ! -d "$folder" ]; }; then
            problem "$folder exists and is not a folder of this proxy." 'Move it away, or choose another name with --runtime-name.'
        fi
    done
    [ "$problems" = 0 ] || { say "Nothing was changed. What is in the way:$report" >&2; exit 1; }
}

# Sets DOCKER_HOST and socket.
check_engine() {
    DOCKER_HOST=$(first "${DOCKER_HOST:-}" "$(env_value DOCKER_HOST)" \
        "$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || :)" unix:///var/run/docker.sock)
    export DOCKER_HOST
    socket=${DOCKER_HOST#unix://}
    case $socket in
        (/*[:,]* | [!/]*) problem "Docker is used at $DOCKER_HOST; a socket of this host is needed." \
            'Unset DOCKER_HOST, or set it to a unix:/// socket without : and , in its path.'
            return 0 ;;
    esac
    if ! try docker version --format '{{.Server.APIVersion}}' || ! api=$said || ! try docker info --format \
        '{{.ServerVersion}}|{{.OSType}}|{{.Architecture}}|{{.DockerRootDir}}|{{json .SecurityOptions}}'; then
        problem "The Docker engine does not answer at $DOCKER_HOST: $said" \
            'Install Docker Engine 20.10 or later, or start it: systemctl start docker'
        return 0
    fi
    [ "$verb" = install ] || return 0
    version=${said%%|*} root_folder=${said#*|*|*|} machine=${said#*|*|} machine=${machine%%|*}
    case $api in
        (1.[0-9] | 1.[0-3][0-9] | 1.40) problem "Docker $version (API $api) is too old." 'Upgrade it to 20.10 (API 1.41) or later.' ;;
    esac
    case $(command -v docker)\|$said in
        (/snap/* | *'|/var/snap/'*) problem 'Docker was installed from snap, whose sandbox hides folders of this host.' \
            'Install Docker Engine from its own packages: snap remove docker, then docs.docker.com/engine/install' ;;
        (*name=rootless* | *name=userns*) problem 'Docker maps users (rootless, or userns-remap): the proxy could not read its files.' \
            'Use an engine without that, named by DOCKER_HOST.' ;;
        (*'|linux|x86_64|'* | *'|linux|amd64|'*) ;;
        (*'|linux|'*) [ -n "$image$(env_value FLAGEEMONITOR_IMAGE)" ] ||
            problem "The image exists for x86_64 only; this machine is $machine." \
                'Use a host with x86_64, or name an image that was built for this machine with --image.' ;;
        (*) problem 'The Docker engine does not run Linux containers.' 'Switch it to Linux containers.' ;;
    esac
    check_space "${root_folder%%|*}" 2000
    check_space /var/lib 500
}

# check_space PATH MEGABYTES
check_space() {
    place=$1 needed=$2
    free=$(df -Pk "$place" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')
    case $free in ('' | *[!0-9]*) return 0 ;; esac
    [ "$free" -ge "$needed" ] ||
        problem "Only $free MB are free in $place; $needed MB are needed." 'Make room, for example: docker image prune'
}

# One call, from the host itself; deploy asks again from a container. Without curl's own configuration file (-q).
check_server() {
    trust=$ca
    if [ -z "$ca" ] && [ -n "$(env_value FLAGEEMONITOR_CA_PATH)" ] && [ -f "$etc/ca.pem" ]; then trust=$etc/ca.pem; fi
    # Where only the settings or the engine name an HTTP proxy, deploy asks through it: from a container, before the token is used.
    if [ -z "${https_proxy:-}${HTTPS_PROXY:-}" ] &&
        [ -n "$(env_value FLAGEEMONITOR_HTTPS_PROXY)$(docker info --format '{{.HTTPSProxy}}' 2>/dev/null || :)" ]; then return 0; fi
    try curl -q -sS --connect-timeout 10 --max-time 60 --max-filesize 262144 ${trust:+--cacert "$trust"} -o /dev/null \
        -w '%{http_code} %{content_type}' "$HEALTH_URL" || :
    case $code:$said in
        (0:200\ *json*) ;;
        (0:*) problem "The answer at $HEALTH_URL is not that of a healthy control plane (HTTP $said)." \
            'Let this host through the firewall or sign-in portal, or name the right proxy in https_proxy; else ask its operator.' ;;
        (*) problem "The control plane cannot be reached at $HEALTH_URL: $said" \
            "Check DNS, firewall, proxy settings and this host's clock. For a private authority: --ca FILE." ;;
    esac
}

# Sets wanted to an image that knows the verb. For a removal one that is here will do: its registry may be gone.
choose_image() {
    by_hand=''
    if [ "$verb" = uninstall ]; then
        set -- "$(docker container inspect --format '{{.Image}}' "$runtime" 2>/dev/null || :)" "$wanted" "$IMAGE"
        [ -z "$image" ] || set -- "$image"
        for one; do if has_verb "$one"; then wanted=$one; return 0; fi; done
        # Without that command, no repair makes the containers again.
        translate "Or by hand: rm /usr/local/bin/$runtime-update-image; docker rm -f \$(docker ps -aq --filter label=flageemonitor.runtime=$runtime); then its other commands, its timer, $etc and $var."
        by_hand=$text
    fi
    pull_image
    has_verb "$wanted" || fail 1 "The image $wanted is older than this installer: it has no deploy $verb. Nothing was changed." \
        "Use the release of the control plane ($SERVER_VERSION) or a later one: --image $IMAGE" "$by_hand"
}

# By its label, where the image is here.
has_verb() {
    case " $(docker image inspect --format '{{index .Config.Labels "flageemonitor.verbs"}}' "$1" 2>/dev/null || :) " in
        (*" $verb "*) ;;
        (*) return 1 ;;
    esac
}

pull_image() {
    step "Pulling $wanted"
    credentials='' said=''
    if [ -n "$registry_user" ]; then log_in; elif [ -f "$etc/docker/config.json" ]; then credentials=$etc/docker; fi
    set -- docker ${credentials:+--config "$credentials"} pull
    if [ -t 1 ]; then
        "$@" "$wanted" && return 0
    else
        try "$@" --quiet "$wanted" && return 0
    fi
    fail 1 "The image $wanted cannot be pulled. $said" \
        'Nothing was changed. Is its registry reachable? If it asks for a login: --registry-user NAME.' "$by_hand"
}

# Into a folder of its own, with an entry that keeps docker from handing the password to a keyring. Docker asks for it on the terminal.
log_in() {
    work=$(mktemp -d) || fail 1 'There is no room for a temporary folder.'
    credentials=$work
    printf '{"auths": {"localhost": {}}}\n' >"$work/config.json"
    registry=${wanted%%/*}
    case $registry in ("$wanted") registry='' ;; (*[.:]* | localhost) ;; (*) registry='' ;; esac
    set -- docker --config "$work" login --username "$registry_user"
    if [ -n "$registry_file" ]; then
        said=$(sed 1q "$registry_file" | tr -d '\r\n' | "$@" --password-stdin ${registry:+"$registry"} 2>&1) && return 0
    elif (: </dev/tty) 2>/dev/null; then
        "$@" ${registry:+"$registry"} </dev/tty && return 0
    else
        fail 1 "There is no terminal to ask for the password of $registry_user." 'Give it with --registry-token-file FILE. Nothing was changed.'
    fi
    fail 1 "The registry does not accept this login: $said" 'Nothing was changed. Correct user and password.'
}

# ---- deploy, in a one-shot container of the image

# A leftover of ours is removed, never by force: that fails for one at work. One of somebody else stays.
clear_name() {
    try docker container inspect --format \
        '{{index .Config.Labels "flageemonitor.runtime"}} {{index .Config.Labels "org.opencontainers.image.title"}}' \
        "$runtime-deploy" || return 0
    case $said in
        ("$runtime "* | *'FlageeMonitor Proxy')
            docker rm "$runtime-deploy" >/dev/null 2>&1 ||
                fail 6 "Another installer or update of $runtime is at work; nothing was changed." 'Try again in a minute.' ;;
        (*) fail 1 "A container $runtime-deploy exists that FlageeMonitor did not make; nothing was changed." \
            "Rename it: docker rename $runtime-deploy another-name" ;;
    esac
}

find_timer() {
    timer=none
    if [ -d /run/systemd/system ] && [ -d /etc/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
        timer=systemd
    elif [ -d /etc/cron.d ]; then
        timer=cron
        # Slackware's: no column for the user, no lines of the environment.
        if daemon=$(command -v crond) && grep -q "dillon's cron" "$daemon"; then timer=dcron; fi
    fi
}

# What deploy reads on its stdin: nothing of it is in an argument, a file or the environment.
feed() {
    [ "$verb" = install ] || return 0
    printf '%s\n' "API_BASE=$API_BASE" "ENROLL_URL=$ENROLL_URL" "HEALTH_URL=$HEALTH_URL" "CLIENT=$CLIENT" "NETWORK=$NETWORK" \
        "TIMEZONE=$TIMEZONE" "IMAGE=$IMAGE" "WATCHTOWER_IMAGE=$WATCHTOWER_IMAGE" "WATCHTOWER_INTERVAL=$WATCHTOWER_INTERVAL" \
        "BOOTSTRAP_TOKEN=$BOOTSTRAP_TOKEN" "SERVER_TIME=$SERVER_TIME" "SEEN=$seen" \
        "HOSTNAME=$(first "$(uname -n | tr -cd 'A-Za-z0-9._-')" unknown)"
    [ "$DOCKER_HOST" = unix:///var/run/docker.sock ] || printf 'DOCKER_HOST=%s\n' "$DOCKER_HOST"
    if [ "$runtime" != ariusmonitor ] && [ -d /etc/ariusmonitor ] && [ ! -e /etc/ariusmonitor/flageemonitor.env ] && [ ! -e /etc/ariusmonitor/.flageemonitor ]; then
        printf 'LEGACY_FOLDER=/etc/ariusmonitor\n'
    fi
    [ -z "$ca" ] || sed 's/^/CA=/' "$ca"
    [ -z "$registry_user" ] || sed 's/^/CREDENTIALS=/' "$credentials/config.json"
}

# Sets code. What deploy prints is shown, whether or not somebody reads it. Ctrl-C goes to deploy, which takes back what it has
# begun, or finishes it where that is soon.
run_deploy() {
    set -f # a registry with an IPv6 address looks like a pattern
    # shellcheck disable=SC2086 # words without blanks, see read_options
    set -- "$wanted" deploy "$verb" --runtime-name "$runtime" --socket "$socket" --timer "$timer" --lang "$language" $dry_run $for_deploy
    set +f
    # --mount, because with -v the engine would make a folder that it does not have.
    case $timer in (systemd) units=/etc/systemd/system ;; (*) units=/etc/cron.d ;; esac
    for mount in "$units,target=/host/${timer#d}" "$etc,target=/host/etc" "$var,target=/host/data" /usr/local/bin,target=/host/bin; do
        [ ! -d "${mount%,*}" ] || set -- --mount "type=bind,source=$mount" "$@"
    done
    # deploy's exit code comes behind its lines.
    mark=$(printf '\004') code=0
    {
        ended=0
        feed | docker run -i --rm --name "$runtime-deploy" --label "flageemonitor.runtime=$runtime" \
            --label flageemonitor.role=deploy --user 0:0 --network none --read-only --tmpfs /tmp --cap-drop ALL --cap-add DAC_OVERRIDE \
            --cap-add CHOWN --cap-add FOWNER --security-opt no-new-privileges --security-opt label=disable \
            -e HTTPS_PROXY -e HTTP_PROXY -e NO_PROXY -e https_proxy -e http_proxy -e no_proxy -e ALL_PROXY -e all_proxy \
            -v "$socket:/var/run/docker.sock" "$@" 2>&1 || ended=$?
        printf '%s\n' "$mark$ended"
    } | relay || code=$?
}

# deploy always has something to say.
relay() {
    silent=yes ended=125
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in (*"$mark"*) ended=${line##*"$mark"} line=${line%"$mark"*}; [ -n "$line" ] || break ;; esac
        silent=''
        show "$line"
    done
    [ -z "$silent" ] || say "$wanted gave no answer: it cannot run here, or it failed. Check the proxy, or use another image."
    return "$ended"
}

# Empty folders with a name that nobody knows beforehand: deploy must find them, so the engine mounts what this host sees.
make_folders() {
    (umask 022 && mkdir -p /usr/local/bin /var/lib)
    seen=$(od -An -v -N8 -tx1 /dev/urandom | tr -d ' \n')
    for folder in "$etc" "$var"; do
        { mkdir -p "$folder" && mkdir "$folder/.seen-$seen"; } 2>/dev/null ||
            fail 1 "$folder cannot be written. Nothing was changed." 'Is the disk full or read-only?'
    done
}

carry_out() {
    check_everything
    choose_image
    clear_name
    find_timer
    [ -n "$dry_run" ] || make_folders
    if [ "$verb" = install ]; then step "Installing $runtime for network $NETWORK"; else step "Removing $runtime"; fi
    trap '' INT TERM HUP
    # A repair that begins during a removal would find everything missing.
    [ "$verb$timer$dry_run" != uninstallsystemd ] || systemctl disable --quiet --now "$unit" >/dev/null 2>&1 || :
    run_deploy
    trap 'exit 1' INT TERM HUP
    if [ "$timer$dry_run" = systemd ]; then
        # Where there is one: after a removal that failed as well.
        { systemctl daemon-reload && { [ ! -f "/etc/systemd/system/$unit" ] || systemctl enable --quiet --now "$unit"; }; } ||
            fail 1 'The containers are as reported above, but systemd did not take the change of the timer.' "See: systemctl status $unit"
    fi
    case $code in
        (0 | 2 | 6) return "$code" ;;
        (125 | 126 | 127) fail 1 "The engine did not start $wanted, or went away while it was at work (docker: $code)." \
            'Start this again when it answers: what was begun is completed or taken back. A Docker from snap cannot see folders of this host.' ;;
        (*) return 1 ;;
    esac
}

# What deploy cannot remove: the folders that were mounted, when they are empty.
# shellcheck disable=SC2317 # a trap calls it
clean_up() {
    [ -z "$work" ] || rm -rf "$work"
    [ -z "$seen" ] || rmdir "$etc/.seen-$seen" "$var/.seen-$seen" "$etc/config" "$etc" "$var" 2>/dev/null || :
}

# ---- The same sentences in Portuguese

# Sets text to the sentence $1, in the language of the host.
translate() {
    text=$1
    [ "$language" = pt-BR ] || return 0
    set +u # the values of the other sentences may not be known yet
    case $1 in
        # @@sentences.pt_BR@@
        (*) ;;
    esac
    set -u
}

# ----

main() {
    language=en
    case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in (pt*) language=pt-BR ;; esac
    unset BOOTSTRAP_TOKEN # it may not be exported to what is started
    umask 077
    export LC_ALL=C
    work='' seen=''
    trap clean_up EXIT
    trap '' PIPE
    trap 'exit 1' INT TERM HUP
    (true 3>&1) 2>/dev/null || exec >/dev/null
    (true 3>&2) || exec 2>/dev/null
    values
    read_options "$@"
    carry_out
}

# Nothing here reads stdin, which is the script itself where it was piped into sh.
main "$@" </dev/null
exit
}
