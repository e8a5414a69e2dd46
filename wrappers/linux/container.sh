no_container() {
    set -- "$1" "If $etc exists, create it again: sudo $runtime-update-image --repair" \
        "Se $etc existe, crie-o de novo: sudo $runtime-update-image --repair"
    look_at "$runtime-deploy"
    if [ "$state" = running ]; then
        fail 69 no_container "There is no container $1 now, because an update of $runtime is in progress." \
            "Não há contêiner $1 agora, porque uma atualização de $runtime está em andamento." \
            "Try again in a minute." "Tente de novo em um minuto."
    fi
    others=$(docker ps -a --filter label=flageemonitor.role=runtime --format '{{.Names}}' 2>/dev/null | tr '\n' ' ') || others=
    if [ -z "$others" ]; then
        fail 69 no_container "There is no container $1, and no other runtime on this host." \
            "Não há contêiner $1, nem outro runtime neste servidor." "$2" "$3"
    fi
    fail 69 no_container "There is no container $1. Runtimes on this host: ${others% }" \
        "Não há contêiner $1. Runtimes neste servidor: ${others% }" \
        "Use the command of another runtime, for example: ${others%% *}-run ..." \
        "Use o comando de outro runtime, por exemplo: ${others%% *}-run ..." "$2" "$3"
}

# Returns only when the container $1 exists.
need_container() {
    choose_engine
    look_at "$1"
    case $state in
        (away) no_engine ;;
        (none) no_container "$1" ;;
    esac
}

# Returns only when the container $1 runs.
need_running() {
    need_container "$1"
    case $state in
        (running) ;;
        (paused)
            fail 69 not_running "The container $1 is paused." "O contêiner $1 está pausado." \
                "Resume it: docker unpause $1" "Retome-o: docker unpause $1" ;;
        (*)
            fail 69 not_running "The container $1 does not run: it is $state." "O contêiner $1 não está rodando: está $state." \
                "Read why: $runtime-logs" "Leia o motivo: $runtime-logs" \
                "Repair it: sudo $runtime-update-image --repair" "Repare-o: sudo $runtime-update-image --repair" ;;
    esac
}
