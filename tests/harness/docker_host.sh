#!/bin/sh
# First process of a host with Docker, in a mount namespace of its own: what it writes to /etc, /usr/local, /var/lib and /run stays in
# a folder of the harness. docker_host.sh FOLDER BRIDGE [PROGRAMS]
# PROGRAMS: a folder with another engine than this machine's.
set -eu

main() {
    folder=$1 bridge=$2
    PATH=${3:+$3:}$PATH
    for place in etc usr/local var/lib; do
        upper=$folder/host/$place
        mkdir -p "$upper" "$folder/scratch/$place"
        mount -t overlay overlay -o "lowerdir=/$place,upperdir=$upper,workdir=$folder/scratch/$place" "/$place"
    done
    mkdir -p "$folder/run"
    mount --bind "$folder/run" /run
    # A host that knows no proxy yet, whatever is on this machine.
    rm -rf /etc/flageemonitor* /etc/ariusmonitor* /var/lib/flageemonitor*
    # Again after an end that was asked for, as a service manager would; the shell stays, and with it the namespace.
    trap 'rm -f "$folder/again"; kill "$engine" 2>/dev/null' TERM
    touch "$folder/again"
    while [ -e "$folder/again" ]; do
        # No rules of its own in this machine's firewall: containers reach each other and the host, nothing else.
        engine "$folder" "$bridge" &
        engine=$!
        # A trapped signal ends the first wait, not the engine.
        wait "$engine" || wait "$engine" || :
    done
}

# Its environment is in the file that Debian's unit reads too.
engine() {
    set -a
    # shellcheck disable=SC1091 # of a test, if any
    if [ -r /etc/default/docker ]; then . /etc/default/docker; fi
    set +a
    exec dockerd --data-root "$1/docker" --exec-root "$1/exec" --pidfile "$1/run/docker.pid" \
        -H unix:///run/docker.sock --bridge "$2" --iptables=false --ip6tables=false --ip-masq=false --ip-forward=false
}

main "$@"
