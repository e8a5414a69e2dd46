# @@container@@

main() {
    container=$runtime tail=--tail=200
    [ "$command" = logs ] || container=$runtime-watchtower
    for word; do
        case $word in
            (-h | --help) usage; exit 0 ;;
            (--since* | --until*) tail=--tail=all ;;
        esac
    done
    need_container "$container"
    [ "$state" = running ] ||
        warn "The container $container is $state. Repair it: sudo $runtime-update-image --repair"
    # A --tail among the options comes later and is the one that counts.
    become docker logs "$tail" "$@" "$container"
}
