# @@one-shot@@

# Sets image to the one whose deploy is to do the work.
choose_image() {
    named_image
    is_image "$named" ||
        fail 2 bad_environment "FLAGEEMONITOR_IMAGE in $env_file is not the name of an image: '$named'" \
            "FLAGEEMONITOR_IMAGE em $env_file não é o nome de uma imagem: '$named'"
    image=$named
    case $verb in
        (apply | resume)
            pull "$image" ||
                fail 1 image_unavailable "The image $image is unavailable: $said" "A imagem $image não está disponível: $said" \
                    "Nothing was changed; the proxy continues. Check that the registry is reachable and that the credentials in $etc/docker/config.json are valid." \
                    "Nada foi alterado; o proxy continua. Verifique se o repositório de imagens está acessível e se as credenciais em $etc/docker/config.json são válidas."
            return 0 ;;
    esac
    # Never the image that may have to be repaired.
    healthy_image
    if is_image "$healthy" && { have "$healthy" || pull "$healthy"; }; then
        image=$healthy
    elif ! have "$image" && ! pull "$image"; then
        fail 1 image_unavailable "Neither the last healthy image nor $image is available: $said" \
            "Nem a última imagem saudável nem $image está disponível: $said" \
            "Nothing was changed. Check that the registry is reachable." "Nada foi alterado. Verifique se o repositório de imagens está acessível."
    fi
}

set_verb() {
    [ "$verb" = apply ] || bad_usage "--$verb and --$1 exclude each other." "--$verb e --$1 se excluem."
    verb=$1
}

main() {
    verb=apply force='' seconds=''
    while [ $# -gt 0 ]; do
        case $1 in
            (--wait | --output | --lang)
                [ $# -gt 1 ] || bad_usage "$1 needs a value." "$1 precisa de um valor."
                option=$1=$2
                shift ;;
            (*) option=$1 ;;
        esac
        case $option in
            (-h | --help) usage; exit 0 ;;
            (--repair | --rollback | --resume | --status) set_verb "${option#--}" ;;
            (--force) force=--force ;;
            (--wait= | --wait=*[!0-9]*)
                bad_usage "--wait needs a number of seconds, not '${option#*=}'." "--wait precisa de um número de segundos, não '${option#*=}'." ;;
            (--wait=*) seconds=${option#*=} ;;
            (--output=json | --output=table | --lang=*) ;;
            (--output=*) bad_usage "--output needs json or table, not '${option#*=}'." "--output precisa de json ou table, não '${option#*=}'." ;;
            (*) bad_usage "Unknown option: $option" "Opção desconhecida: $option" ;;
        esac
        shift
    done
    [ -r "$env_file" ] || [ "$(id -u)" != 0 ] ||
        fail 2 bad_environment "$env_file does not exist: $runtime is not installed here." \
            "$env_file não existe: $runtime não está instalado aqui." \
            "Install it with the command that flagee-server install-command prints on the control plane." \
            "Instale com o comando que flagee-server install-command mostra no servidor de controle."
    need_host
    clear_name
    choose_image
    deploy_with "$image" "$verb" ${force:+"$force"} ${seconds:+--wait "$seconds"}
    exit "$code"
}
