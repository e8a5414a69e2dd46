#!/bin/sh
# Turns a new set of namespaces into a terminal: called by terminals.py as their first process, ends as the terminal's init.
#   $1 root of the terminal (a mount point)   $2 file for our process id   $3 host name   $4 for systemd: folder of a control group
# A line on stdin says: the network is there.
# What would reach the machine outside is read-only or absent, and init has no capability to change that:
# no clock, no modules, no mounts, no raw devices. It keeps SYS_BOOT, which in a process namespace ends that namespace only.
# systemd has to mount, for itself and for its units; the clock, modules and devices are out of its reach all the same.
set -eu

main() {
    group=${4-}
    case $group in
        /*)
            # The terminal's own group becomes the top of all groups that it can see.
            echo 0 >"$group/cgroup.procs"
            exec unshare --cgroup /bin/sh "$0" "$1" "$2" "$3" joined
            ;;
    esac
    read -r pid _ </proc/self/stat
    echo "$pid" >"$2"
    read -r _
    hostname "$3"
    cd "$1"

    mount -t tmpfs -o nosuid,noexec,mode=755,size=64k tmpfs dev
    # Nodes of its own: a mode changed on a bound one would change on the machine.
    mknod -m 666 dev/null c 1 3
    mknod -m 666 dev/zero c 1 5
    mknod -m 666 dev/full c 1 7
    mknod -m 666 dev/random c 1 8
    mknod -m 666 dev/urandom c 1 9
    mknod -m 666 dev/tty c 5 0
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5,nosuid,noexec devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    ln -s null dev/console
    ln -s /proc/self/fd dev/fd

    mount -t proc -o nosuid,nodev,noexec proc proc
    for path in sys irq bus fs sysrq-trigger; do
        [ -e "proc/$path" ] || continue
        mount --bind "proc/$path" "proc/$path"
        mount -o remount,bind,ro,nosuid,nodev,noexec "proc/$path"
    done
    for path in kcore keys kmsg timer_list; do
        [ ! -e "proc/$path" ] || mount --bind dev/null "proc/$path"
    done
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
    [ -z "$group" ] || mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup

    pivot_root . mnt
    kept=+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+setfcap
    kept=$kept,+net_bind_service,+net_raw,+sys_chroot,+audit_write,+sys_boot${group:+,+sys_admin,+dac_read_search}
    # shellcheck disable=SC2016 # expanded by the inner shell
    exec env -i ${group:+container=harness} PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . \
        /bin/sh -c 'umount -l /mnt && exec setpriv --inh-caps -all --bounding-set "-all,$1" /sbin/init' init "$kept" </dev/null
}

main "$@"
