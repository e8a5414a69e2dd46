# @@container@@

main() {
    case ${1:-} in (-h | --help) usage; exit 0 ;; esac
    need_running "$runtime"
    set -- ${language:+-e "LANG=$language"} "$runtime" /flageemonitor/update_config.sh "$@"
    if [ -t 0 ] && [ -t 1 ]; then become docker exec -it "$@"; fi
    become docker exec "$@" </dev/null
}
