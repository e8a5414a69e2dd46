#!/bin/sh
# Makes sure that the system packages of a part are there: installs them as root on Debian or Ubuntu and says what it installs,
# else names them in one line. Called by the Makefile: system-packages.sh [--optional] PART...
# --optional: what cannot be installed is only mentioned, the caller goes on without it.
set -eu

packages_of() {
    case $1 in
        (python) python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv ;;
        (demo) command -v bwrap >/dev/null || echo bubblewrap
               command -v busybox >/dev/null || echo busybox ;;
        (check) command -v shellcheck >/dev/null || echo shellcheck ;;
        (bench) command -v wrk >/dev/null || echo wrk ;;
        (tests) sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' tests/apt-packages.txt ;;
        (*) echo "system-packages.sh: unknown part $1" >&2; exit 2 ;;
    esac
}

missing_of() {
    for package in $(packages_of "$1"); do
        if command -v dpkg-query >/dev/null; then
            state=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null) || state=
            case $state in (ii*) continue ;; esac
        fi
        echo "$package"
    done
}

main() {
    optional=no
    if [ "${1:-}" = --optional ]; then optional=yes; shift; fi
    wanted=
    for part; do wanted="$wanted $(missing_of "$part" | tr '\n' ' ')"; done
    wanted=$(printf '%s' "$wanted" | tr -s ' ' | sed 's/^ //; s/ $//')
    [ -n "$wanted" ] || exit 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing system packages: $wanted"
        # Services that come with packages must not start by themselves: tests start what they need, on loopback.
        guard=/usr/sbin/policy-rc.d
        if [ ! -e $guard ]; then
            printf '#!/bin/sh\nexit 101\n' >$guard
            chmod 755 $guard
            trap 'rm -f $guard' EXIT
        fi
        export DEBIAN_FRONTEND=noninteractive
        # shellcheck disable=SC2086
        if apt-get install -y -qq --no-install-recommends $wanted >/dev/null 2>&1; then exit 0; fi
        apt-get update -qq >/dev/null
        # shellcheck disable=SC2086
        if apt-get install -y -qq --no-install-recommends $wanted >/dev/null; then exit 0; fi
    fi
    if [ $optional = yes ]; then
        echo "Going on without: $wanted (as root on Debian or Ubuntu: apt-get install $wanted)" >&2
        exit 0
    fi
    echo "Missing system packages. As root on Debian or Ubuntu: apt-get install $wanted" >&2
    [ -n "${CI:-}" ] && exit 1
    # Tests that need a missing part say so and are skipped; everything else runs.
    exit 0
}

main "$@"
