# @@one-shot@@

# Sets image to the one whose deploy is to do the work.
choose_image() {
    named_image
    is_image "$named" ||
        fail 2 bad_environment "FLAGEEMONITOR_IMAGE in $env_file is not the name of an image: '$named'"
    image=$named
    case $verb in
        (apply | resume)
            pull "$image" ||
                fail 1 image_unavailable "The image $image is unavailable: $said" \
                    "Nothing was changed; the proxy continues. Check that the registry is reachable and that the credentials in $etc/docker/config.json are valid."
            return 0 ;;
    esac
    # Never the image that may have to be repaired.
    healthy_image
    if is_image "$healthy" && { have "$healthy" || pull "$healthy"; }; then
        image=$healthy
    elif ! have "$image" && ! pull "$image"; then
        fail 1 image_unavailable "Neither the last healthy image nor $image is available: $said" \
            "Nothing was changed. Check that the registry is reachable."
    fi
}

main() {
    verb=apply force='' seconds=''
    while [ $# -gt 0 ]; do
        case $1 in
            (--wait | --output | --lang)
                option=$1
                [ $# -gt 1 ] || bad_usage "$option needs a value."
                option=$1=$2
                shift ;;
            (*) option=$1 ;;
        esac
        value=${option#*=}
        case $option in
            (-h | --help) usage; exit 0 ;;
            (--repair | --rollback | --resume | --status)
                [ "$verb" = apply ] || bad_usage "--$verb and $option exclude each other."
                verb=${option#--} ;;
            (--force) force=--force ;;
            (--wait= | --wait=*[!0-9]*) bad_usage "--wait needs a number of seconds, not '$value'." ;;
            (--wait=*) seconds=$value ;;
            (--output=json | --output=table | --lang=*) ;;
            (--output=*) bad_usage "--output needs json or table, not '$value'." ;;
            (*) bad_usage "Unknown option: $option" ;;
        esac
        shift
    done
    [ -r "$env_file" ] || [ "$(id -u)" != 0 ] ||
        fail 2 bad_environment "$env_file does not exist: $runtime is not installed here." \
            "Install it with the command that flagee-server install-command prints on the control plane."
    need_host
    clear_name
    choose_image
    deploy_with "$image" "$verb" ${force:+"$force"} ${seconds:+--wait "$seconds"}
    exit "$code"
}
