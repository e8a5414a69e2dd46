# @@one-shot@@

# Sets image to one that is here and knows how to uninstall. No registry is asked: it may have gone with its vendor.
choose_image() {
    named_image
    healthy_image
    running=$(docker container inspect --format '{{.Image}}' "$runtime" 2>/dev/null) || running=''
    for image in "$running" "$healthy" "$named"; do
        is_image "$image" || continue
        case " $(docker image inspect --format '{{index .Config.Labels "flageemonitor.verbs"}}' "$image" 2>/dev/null) " in
            (*' uninstall '*) return 0 ;;
        esac
    done
    fail 3 image_unavailable "No image on this host knows how to uninstall $runtime. Nothing was changed." \
        "Pull one with: docker pull $named. Or remove by hand: systemctl disable --now $runtime-repair.timer; docker rm -f $runtime $runtime-watchtower; then $etc and /usr/local/bin/$runtime-*"
}

confirm() {
    [ -t 0 ] || bad_usage "Without a terminal, --yes is needed. Nothing was changed."
    if [ -n "$delete" ]; then
        tell "Remove $runtime from this host, with identity and data? (yes/no)"
    else
        tell "Remove $runtime from this host? (yes/no)"
    fi
    read -r answer || answer=''
    case $answer in
        (yes | y | sim | s) ;;
        (*) fail 1 not_confirmed "Not confirmed. Nothing was changed." ;;
    esac
}

# A removal that failed leaves a proxy that is still to be repaired.
settle_timer() {
    if [ -e "/etc/systemd/system/$runtime-repair.timer" ]; then set -- enable --quiet --now "$runtime-repair.timer"; else set -- daemon-reload; fi
    systemctl "$@" >/dev/null 2>&1 || :
}

main() {
    delete='' dry='' yes=''
    while [ $# -gt 0 ]; do
        option=$1
        case $option in
            (-h | --help) usage; exit 0 ;;
            (--delete-data) delete=--delete-data ;;
            (--dry-run) dry=--dry-run ;;
            (--yes) yes=yes ;;
            (--output | --lang)
                [ $# -gt 1 ] || bad_usage "$option needs a value."
                shift ;;
            (--output=* | --lang=*) ;;
            (*) bad_usage "Unknown option: $option" ;;
        esac
        shift
    done
    case $output in ('' | json | table) ;; (*) bad_usage "--output needs json or table, not '$output'." ;; esac
    need_host
    clear_name
    choose_image
    [ -n "$yes$dry" ] || confirm
    timer=none
    if [ -e "/etc/systemd/system/$runtime-repair.timer" ]; then
        timer=systemd timers=/etc/systemd/system:/host/systemd
        if [ -z "$dry" ]; then
            trap settle_timer EXIT # however this ends
            # A repair that begins now would find everything missing.
            systemctl disable --quiet --now "$runtime-repair.timer" >/dev/null 2>&1 || :
        fi
    elif [ -d /etc/cron.d ]; then
        timer=cron timers=/etc/cron.d:/host/cron
    fi
    deploy_with "$image" uninstall --timer "$timer" ${delete:+"$delete"} ${dry:+"$dry"}
    # What deploy emptied, but has mounted and so cannot remove; or what the engine made to mount it.
    rmdir "$etc" "$data" 2>/dev/null || :
    exit "$code"
}
