#!/bin/sh
{ # Everything is inside one pair of braces: a script that was cut off is a syntax error, and none of it runs.
# FlageeMonitor Proxy: installs, repairs, upgrades and removes a proxy on this host. Made by the control plane for one network.
# Needs root, a POSIX shell, curl and Docker. What it does: sh install.sh --help; to see it first: --dry-run.
# It checks the host, pulls the image and starts it once as `deploy install`, which does the rest: enrolment, containers, files.
set -eu

# What the control plane filled in.
values() {
    API_BASE='' ENROLL_URL='' HEALTH_URL='' CLIENT='' NETWORK='' TIMEZONE='' IMAGE='' WATCHTOWER_IMAGE='' WATCHTOWER_INTERVAL=''
    BOOTSTRAP_TOKEN='' SERVER_TIME='' SERVER_VERSION=''
    # @@VALUES@@
}

usage() {
    if [ "$language" = pt-BR ]; then
        cat <<'TEXT'
Uso: install.sh [OPÇÃO]...

Instala o FlageeMonitor Proxy neste servidor. Executado de novo, repara e atualiza; identidade, token e configurações não mudam.
Se falhar, fica o que havia antes. As opções vão no fim da linha colada.

  --runtime-name NOME            nome deste proxy (padrão flageemonitor); pode haver vários lado a lado
  --image REFERÊNCIA             imagem do proxy, em vez da que o servidor de controle indica; NOME@sha256:... fixa uma versão
  --watchtower-image REFERÊNCIA  imagem do Watchtower
  --watchtower-interval SEGUNDOS entre duas buscas de imagem nova (30 a 604800)
  --update-window INÍCIO-FIM     quando o Watchtower pode atualizar, por exemplo 02:00-05:00
  --no-auto-update               sem Watchtower: a atualização é só manual
  --ca ARQUIVO                   certificado da autoridade privada do servidor de controle
  --registry-user NOME           usuário do repositório de imagens; a senha é pedida, ou é a primeira linha do
  --registry-token-file ARQUIVO  arquivo indicado aqui
  --docker-network NOME          bridge (padrão), host (se a bridge não alcança os PDVs) ou o nome de uma rede
  --replace-legacy               no fim, encerra um proxy da primeira geração; os arquivos dele ficam
  --beside-legacy                deixa um proxy da primeira geração como está
  --allow-foreign-watchtower     instala mesmo que um Watchtower sem escopo interfira
  --dry-run                      baixa a imagem, verifica, mostra o que seria feito, não altera mais nada
  --uninstall                    remove o proxy; num terminal, pergunta se os dados também devem ser apagados
    --keep-data, --delete-data   a resposta; sem resposta, os dados ficam
    --yes                        não pergunta nada

Códigos de saída: 0 feito; 1 não feito, fica o que havia antes; 2 uso; 6 outro instalador ou atualização em andamento.
TEXT
    else
        cat <<'TEXT'
Usage: install.sh [OPTION]...

Installs FlageeMonitor Proxy on this host. Run again, it repairs and upgrades; identity, token and settings are kept. If it fails,
what was there before stays. Options go to the end of the pasted line.

  --runtime-name NAME            name of this proxy (default flageemonitor); several may exist side by side
  --image REFERENCE              image of the proxy, instead of the control plane's choice; NAME@sha256:... pins one version
  --watchtower-image REFERENCE   image of Watchtower
  --watchtower-interval SECONDS  between two checks for a new image (30 to 604800)
  --update-window FROM-TO        when Watchtower may update, such as 02:00-05:00
  --no-auto-update               without Watchtower: only a person updates
  --ca FILE                      certificate of the control plane's private authority
  --registry-user NAME           user of the image's registry; the password is asked for, or is the first line of
  --registry-token-file FILE     this file
  --docker-network NAME          bridge (default), host (where the bridge cannot reach the terminals) or a network's name
  --replace-legacy               stop a proxy of the first generation at the end; its files stay
  --beside-legacy                leave a proxy of the first generation alone
  --allow-foreign-watchtower     install although a Watchtower without a scope would interfere
  --dry-run                      pull the image, check, show what would be done, change nothing else
  --uninstall                    remove the proxy; on a terminal, asks whether its data is to be deleted as well
    --keep-data, --delete-data   the answer to that; without an answer the data stays
    --yes                        ask nothing

Exit codes: 0 done; 1 not done, what was there before stays; 2 usage; 6 another installer or update is at work.
TEXT
    fi
}

# ---- What is said. Nobody has to be reading: a full or closed stdout ends nothing.

# t ENGLISH PORTUGUESE
t() { if [ "$language" = pt-BR ]; then shift; fi; say "$1"; }
say() { printf '%s\n' "$1" 2>/dev/null || :; }
step() { t "==> $1" "==> $2"; }

# fail CODE ENGLISH PORTUGUESE [ENGLISH PORTUGUESE]: what happened, and what to do.
fail() {
    code=$1
    { t "Failed: $2" "Falhou: $3"; [ $# -lt 5 ] || t "    $4" "    $5"; } >&2
    exit "$code"
}

bad_usage() { { t "install.sh: $1" "install.sh: $2"; t 'See: install.sh --help' 'Veja: install.sh --help'; } >&2; exit 2; }

# problem ENGLISH PORTUGUESE ADVICE CONSELHO: collected, so that all of them are told at once.
problem() {
    problems=$((problems + 1))
    report="$report
  $problems. $(t "$1" "$2")
     $(t "$3" "$4")"
}

one_line() { printf '%s' "$1" | tr -s '\n\r\t ' '    '; }

# ---- Options. What only deploy uses is handed on as it is.

read_options() {
    runtime=flageemonitor image='' ca='' registry_user='' registry_file='' legacy='' dry_run='' uninstall='' yes='' data='' for_deploy=''
    while [ $# -gt 0 ]; do
        option=${1%%=*} value='' given=''
        case $1 in (--*=*) value=${1#*=} given=yes ;; esac
        case $option in
            (--runtime-name | --image | --watchtower-image | --watchtower-interval | --update-window | --docker-network | --ca | \
                --registry-user | --registry-token-file)
                if [ -z "$given" ] && [ $# -gt 1 ]; then value=$2; shift; fi
                [ -n "$value" ] || bad_usage "$option needs a value" "$option precisa de um valor" ;;
            (*) [ -z "$given" ] || bad_usage "$option takes no value" "$option não aceita valor" ;;
        esac
        case $option in
            (--runtime-name) runtime=$value ;;
            (--image) image=$value; for_deploy="$for_deploy $option=$value" ;;
            (--watchtower-image | --watchtower-interval | --update-window | --docker-network)
                for_deploy="$for_deploy $option=$value" ;;
            (--ca) ca=$value ;;
            (--registry-user) registry_user=$value ;;
            (--registry-token-file) registry_file=$value ;;
            (--replace-legacy | --beside-legacy)
                [ "${legacy:-$option}" = "$option" ] || bad_usage "$legacy and $option exclude each other" "$legacy e $option se excluem"
                legacy=$option for_deploy="$for_deploy $option" ;;
            (--allow-foreign-watchtower | --no-auto-update) for_deploy="$for_deploy $option" ;;
            (--dry-run) dry_run=yes for_deploy="$for_deploy $option" ;;
            (--uninstall) uninstall=yes ;;
            (--yes) yes=yes ;;
            (--keep-data | --delete-data)
                [ "${data:-$option}" = "$option" ] || bad_usage "$data and $option exclude each other" "$data e $option se excluem"
                data=$option ;;
            (-h | --help) usage; exit 0 ;;
            (*) bad_usage "unknown option: $1" "opção desconhecida: $1" ;;
        esac
        # Whatever is handed on is one word, for every shell.
        case $value in ([!A-Za-z0-9[]* | *[!][A-Za-z0-9._/:@-]*) odd=yes ;; (*) odd='' ;; esac
        case $option:$odd:$value in
            (--ca:* | --registry-*) ;;
            (*:yes:* | --watchtower-interval::*[!0-9]*)
                bad_usage "$option: '$value' is not a valid value" "$option: '$value' não é um valor válido" ;;
        esac
        shift
    done
    case $runtime in
        (*[!abcdefghijklmnopqrstuvwxyz0123456789_.-]* | [_.-]* | *-candidate | *-previous | *-watchtower | *-deploy | *-repair)
            bad_usage "--runtime-name: '$runtime' is not allowed; use a-z 0-9 _ . - and no ending of another part (such as -deploy)" \
                "--runtime-name: '$runtime' não é permitido; use a-z 0-9 _ . - e nenhum final de outra parte (como -deploy)" ;;
    esac
    [ "${#runtime}" -le 40 ] || bad_usage '--runtime-name: at most 40 characters' '--runtime-name: no máximo 40 caracteres'
    [ -n "$uninstall" ] || [ -z "$data" ] || bad_usage "$data belongs to --uninstall" "$data só vale com --uninstall"
    [ -z "$registry_file" ] || [ -n "$registry_user" ] || bad_usage '--registry-token-file needs --registry-user' '--registry-token-file precisa de --registry-user'
    etc=/etc/$runtime var=/var/lib/$runtime env_file=/etc/$runtime/flageemonitor.env
}

# ---- The host. Nothing is changed by these.

# Value of the key $1 in the environment file, which is read and never sourced.
env_value() {
    [ -r "$env_file" ] || return 0
    tr -d '\r' <"$env_file" | sed -n -e "1s/^$(printf '\357\273\277')//" -e "s/^$1=[[:space:]]*//p" | sed -e 's/[[:space:]]*$//' -e '$!d'
}

first() { for word; do if [ -n "$word" ]; then printf '%s\n' "$word"; return 0; fi; done; }

check_everything() {
    problems=0 report=''
    case $API_BASE in (https://* | http://*) ;; (*) problem 'This is the bare template, or a damaged script.' 'Este é o modelo vazio, ou um script danificado.' \
        'Use the line that flagee-server install-command prints.' 'Use a linha que flagee-server install-command mostra.' ;; esac
    wanted=$(first "$image" "$(env_value FLAGEEMONITOR_IMAGE)" "$(env_value ARIUSMONITOR_IMAGE)" "$IMAGE")
    case $wanted in ('' | [!A-Za-z0-9[]* | *[!][A-Za-z0-9._/:@-]*) problem "There is no usable name of an image: '$wanted'" "Não há um nome de imagem utilizável: '$wanted'" \
        "Give one with --image, or correct it in $env_file." "Informe um com --image, ou corrija-o em $env_file." ;; esac
    if [ "$(id -u)" != 0 ]; then
        problem 'This needs root.' 'É preciso ser root.' \
            'Paste the line as somebody who may use sudo.' 'Cole a linha com um usuário que possa usar sudo.'
    else
        check_folder "$etc" known
        check_folder "$var" "$(find "$var" -prune -user 10001 2>/dev/null || :)"
        check_engine
    fi
    check_machine
    check_server
    [ -z "$registry_file" ] || [ -r "$registry_file" ] ||
        problem "--registry-token-file: $registry_file cannot be read." "--registry-token-file: não é possível ler $registry_file." 'Correct the path.' 'Corrija o caminho.'
    if [ "$problems" -gt 0 ]; then
        t "Not installed; nothing was changed. What is in the way:$report" "Não instalado; nada foi alterado. O que impede:$report" >&2
        exit 1
    fi
}

# check_folder PATH OURS: never a link, and nothing that holds somebody else's files. OURS: not empty where the files may be ours.
check_folder() {
    if [ -L "$1" ] || { [ -e "$1" ] && [ ! -d "$1" ]; }; then
        problem "$1 exists and is not a folder." "$1 existe e não é uma pasta." \
            'Move it away, or choose another name with --runtime-name.' 'Mova isso para outro lugar ou escolha outro nome com --runtime-name.'
    elif [ -d "$1" ] && [ ! -f "$env_file" ] && [ ! -f "$etc/.flageemonitor" ] && { [ "$2" = known ] || [ -z "$2" ]; } && [ -n "$(ls -A "$1")" ]; then
        problem "$1 exists and was not made by this installer." "$1 existe e não foi criada por este instalador." \
            'Move it away, or choose another name with --runtime-name.' 'Mova isso para outro lugar ou escolha outro nome com --runtime-name.'
    fi
}

# Sets DOCKER_HOST and socket.
choose_engine() {
    DOCKER_HOST=$(first "${DOCKER_HOST:-}" "$(env_value DOCKER_HOST)" \
        "$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || :)" unix:///var/run/docker.sock)
    export DOCKER_HOST
    socket=${DOCKER_HOST#unix://}
}

check_engine() {
    if ! command -v docker >/dev/null 2>&1; then
        problem 'Docker is not installed on this host.' 'O Docker não está instalado neste servidor.' \
            'Install Docker Engine 20.10 or later, then run this again.' 'Instale o Docker Engine 20.10 ou mais novo e execute isto de novo.'
        return 0
    fi
    choose_engine
    case $DOCKER_HOST in (unix:///*[:,]*) socket='' ;; (unix:///*) ;; (*) socket='' ;; esac
    if [ -z "$socket" ]; then
        problem "Docker is used at $DOCKER_HOST; a socket of this host is needed." \
            "O Docker é usado em $DOCKER_HOST; é preciso um socket deste servidor." \
            'Unset DOCKER_HOST, or set it to a unix:/// socket without : and , in its path.' \
            'Remova DOCKER_HOST ou indique um socket unix:/// sem : e , no caminho.'
        return 0
    fi
    if ! found=$(docker info --format '{{.ServerVersion}}|{{.OSType}}|{{.DockerRootDir}}|{{json .SecurityOptions}}' 2>&1) ||
        ! api=$(docker version --format '{{.Server.APIVersion}}' 2>&1); then
        problem "The Docker engine does not answer at $DOCKER_HOST: $(one_line "$found")" "O Docker não responde em $DOCKER_HOST: $(one_line "$found")" \
            'Start it, for example: systemctl start docker' 'Inicie-o, por exemplo: systemctl start docker'
        return 0
    fi
    case $api in
        (1.[0-9] | 1.[0-3][0-9] | 1.40) problem "Docker ${found%%|*} (API $api) is too old." "O Docker ${found%%|*} (API $api) é antigo demais." \
            'Upgrade it to 20.10 (API 1.41) or later.' 'Atualize-o para 20.10 (API 1.41) ou mais novo.' ;;
    esac
    case $(command -v docker)\|$found in
        (/snap/* | *'|/var/snap/'*) problem 'Docker was installed from snap, whose sandbox hides folders of this host.' 'O Docker foi instalado por snap, que esconde pastas deste servidor.' \
            'Install Docker Engine from its own packages: snap remove docker, then docs.docker.com/engine/install' \
            'Instale o Docker Engine dos seus pacotes: snap remove docker, depois docs.docker.com/engine/install' ;;
    esac
    case $found in
        (*'|linux|'*) ;;
        (*) problem 'The Docker engine does not run Linux containers.' 'O Docker não roda contêineres Linux.' 'Switch it to Linux containers.' 'Mude-o para contêineres Linux.' ;;
    esac
    case $found in
        (*name=rootless* | *name=userns*) problem 'The Docker engine maps users (rootless, or userns-remap): the proxy could not read its files.' \
            'O Docker mapeia usuários (rootless, ou userns-remap): o proxy não conseguiria ler os seus arquivos.' \
            'Use an engine without that, named by DOCKER_HOST.' 'Use um Docker sem isso, indicado em DOCKER_HOST.' ;;
    esac
    root_folder=${found#*|*|}
    check_space "${root_folder%%|*}" 2000
    check_space /var/lib 500
    check_space /etc 5
    strangers=$(docker ps -a --format '{{.Names}} {{.Label "flageemonitor.runtime"}} {{.Label "org.opencontainers.image.title"}}' | awk -v r="$runtime" '
        BEGIN { split(" -watchtower -candidate -previous -deploy", part, " "); for (i in part) mine[r part[i]] }
        ($1 in mine) && $2 != r && !($1 == r "-deploy" && /FlageeMonitor Proxy$/) { print $1 }') || strangers=''
    # Of $runtime itself deploy decides: the first generation's proxy is called so.
    [ -z "$strangers" ] || problem "Containers exist that FlageeMonitor did not make: $(one_line "$strangers")" \
        "Existem contêineres que não foram criados pelo FlageeMonitor: $(one_line "$strangers")" \
        'Remove or rename them, or choose another name with --runtime-name.' 'Remova-os ou renomeie-os, ou escolha outro nome com --runtime-name.'
}

# check_space PATH MEGABYTES
check_space() {
    case $1 in (/*) place=$1 ;; (*) place='' ;; esac
    while [ ! -d "$place" ] && [ -n "$place" ]; do place=${place%/*}; done
    free=$(df -Pk "${place:-/}" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')
    case $free in ('' | *[!0-9]*) return 0 ;; esac
    [ "$free" -ge "$2" ] || problem "Only $free MB are free in ${place:-/}; $2 MB are needed." "Só há $free MB livres em ${place:-/}; são necessários $2 MB." \
        'Make room, for example: docker system prune' 'Libere espaço, por exemplo: docker system prune'
}

check_machine() {
    machine=$(uname -m)
    case $machine in (x86_64 | amd64) return 0 ;; (aarch64 | arm64) kind='64-bit ARM' ;; (*) kind=$machine ;; esac
    [ -n "$image" ] || [ -n "$(env_value FLAGEEMONITOR_IMAGE)" ] ||
        problem "This machine is $kind ($machine); the image exists for x86_64 only." "Esta máquina é $kind ($machine); a imagem só existe para x86_64." \
            'Use a host with x86_64, or name an image that was built for this machine with --image.' \
            'Use um servidor x86_64, ou indique com --image uma imagem feita para esta máquina.'
}

# One call, from the host itself; deploy asks again from a container. Without curl's own configuration file (-q).
check_server() {
    trust=''
    if [ -n "$ca" ]; then
        trust=$ca
        if ! grep -q 'BEGIN CERTIFICATE' "$ca" 2>/dev/null || grep -q 'PRIVATE KEY' "$ca"; then
            problem "--ca: $ca is not a readable file with certificates alone (PEM)." "--ca: $ca não é um arquivo legível só com certificados (PEM)." \
                "Ask the control plane's operator for the certificate of their authority." 'Peça a quem opera o servidor de controle o certificado da autoridade.'
            return 0
        fi
    elif [ -n "$(env_value FLAGEEMONITOR_CA_PATH)" ] && [ -f "$etc/ca.pem" ]; then
        trust=$etc/ca.pem
    fi
    if ! command -v curl >/dev/null 2>&1; then
        problem 'curl is not installed on this host.' 'O curl não está instalado neste servidor.' "Install it with the system's package manager." 'Instale-o com o gerenciador de pacotes.'
        return 0
    fi
    [ -n "$HEALTH_URL" ] || return 0
    # Where only the settings or the engine name an HTTP proxy, deploy asks through it: from a container, before the token is used.
    if [ -z "${https_proxy:-}${HTTPS_PROXY:-}" ] &&
        [ -n "$(env_value FLAGEEMONITOR_HTTPS_PROXY)$(docker info --format '{{.HTTPSProxy}}' 2>/dev/null || :)" ]; then return 0; fi
    code=0
    answer=$(curl -q -sS --connect-timeout 10 --max-time 60 --max-filesize 262144 ${trust:+--cacert "$trust"} -o /dev/null \
        -w '%{http_code} %{content_type}' "$HEALTH_URL" 2>&1) || code=$?
    case $code:$answer in
        (0:200\ *json*) ;;
        (0:503\ *json*) problem "The control plane at $HEALTH_URL says that it is not healthy (HTTP 503)." "O servidor de controle em $HEALTH_URL diz que não está saudável (HTTP 503)." \
            'Ask its operator; its log says why.' 'Avise quem o opera; o log dele diz o motivo.' ;;
        (0:*) problem "Not the control plane answered at $HEALTH_URL, but a web server or something before it (HTTP $answer)." \
            "Quem respondeu em $HEALTH_URL não foi o servidor de controle, e sim um servidor web ou algo antes dele (HTTP $answer)." \
            'Let this host through the firewall or sign-in portal, or name the right proxy in https_proxy; curl -v shows the answer.' \
            'Libere este servidor no firewall ou portal de login, ou indique o proxy certo em https_proxy; curl -v mostra a resposta.' ;;
        (6:*) problem "The control plane's name cannot be resolved: $(one_line "$answer")" "O nome do servidor de controle não pode ser resolvido: $(one_line "$answer")" \
            "Correct this host's DNS." 'Corrija o DNS deste servidor.' ;;
        (60:* | 77:*) problem "The control plane's certificate is not trusted: $(one_line "$answer")" "O certificado do servidor de controle não é confiável: $(one_line "$answer")" \
            "For a private authority, give its certificate with --ca FILE; else check this host's clock and ca-certificates." \
            'Se a autoridade é privada, informe o certificado com --ca ARQUIVO; senão, confira o relógio e os ca-certificates deste servidor.' ;;
        (*) problem "The control plane cannot be reached at $HEALTH_URL: $(one_line "$answer")" "O servidor de controle não pode ser acessado em $HEALTH_URL: $(one_line "$answer")" \
            'Check firewall and proxy settings between this host and it.' 'Confira firewall e proxy entre este servidor e ele.' ;;
    esac
}

# ---- Image

pull_image() {
    step "Pulling $wanted" "Baixando $wanted"
    credentials=''
    if [ -n "$registry_user" ]; then log_in; elif [ -f "$etc/docker/config.json" ]; then credentials=$etc/docker; fi
    said=''
    if [ -t 1 ]; then
        docker ${credentials:+--config "$credentials"} pull "$wanted" && return 0
    else
        said=$(docker ${credentials:+--config "$credentials"} pull --quiet "$wanted" 2>&1) && return 0
    fi
    fail 1 "The image $wanted cannot be pulled. $(one_line "$said")" "A imagem $wanted não pode ser baixada. $(one_line "$said")" \
        'Nothing was changed. Is its registry reachable? If it asks for a login: --registry-user NAME.' \
        'Nada foi alterado. O repositório está acessível? Se ele pede login: --registry-user NOME.'
}

# Into a folder of its own, with an entry that keeps docker from handing the password to a keyring.
log_in() {
    work=$(mktemp -d) || fail 1 'There is no room for a temporary folder.' 'Não há espaço para uma pasta temporária.'
    credentials=$work
    printf '{"auths": {"localhost": {}}}\n' >"$work/config.json"
    if [ -n "$registry_file" ]; then
        IFS= read -r secret <"$registry_file" || :
        secret=$(printf '%s' "$secret" | tr -d '\r')
    elif (: </dev/tty) 2>/dev/null; then
        tty_state=$(stty -g </dev/tty)
        t "Password or token of $registry_user:" "Senha ou token de $registry_user:" >/dev/tty
        stty -echo </dev/tty
        IFS= read -r secret </dev/tty || :
        stty "$tty_state" </dev/tty
        tty_state=''
    else
        fail 1 "There is no terminal to ask for the password of $registry_user." "Não há terminal para perguntar a senha de $registry_user." \
            'Give it with --registry-token-file FILE. Nothing was changed.' 'Informe-a com --registry-token-file ARQUIVO. Nada foi alterado.'
    fi
    registry=''
    case ${wanted%%/*} in (*[.:]* | localhost) registry=${wanted%%/*} ;; esac
    [ "$registry" != "$wanted" ] || registry=''
    said=$(printf '%s' "$secret" | docker --config "$work" login --username "$registry_user" --password-stdin ${registry:+"$registry"} 2>&1) ||
        fail 1 "The registry does not accept this login: $(one_line "$said")" "O repositório de imagens não aceita este login: $(one_line "$said")" \
            'Nothing was changed. Correct user and password.' 'Nada foi alterado. Corrija usuário e senha.'
}

# Whether the image $1 knows the verb $2.
knows() {
    case " $(docker image inspect --format '{{index .Config.Labels "flageemonitor.verbs"}}' "$1" 2>/dev/null || :) " in (*" $2 "*) return 0 ;; esac
    return 1
}

# ---- deploy, in a one-shot container of the image

# run_deploy IMAGE VERB OPTION...: what it prints is shown, whether or not somebody reads it; sets code. Ctrl-C goes to deploy, which
# takes back what it has begun, or finishes it where that is soon.
run_deploy() {
    one_shot=$1 verb=$2
    shift 2
    set -- "$one_shot" deploy "$verb" --runtime-name "$runtime" --socket "$socket" --timer "$timer" --lang "$language" "$@"
    # --mount, because with -v the engine would make a folder that it does not have.
    case $timer in (systemd) units=/etc/systemd/system ;; (*) units=/etc/cron.d ;; esac
    for mount in "$units,target=/host/${timer#d}" "$etc,target=/host/etc" "$var,target=/host/data" /usr/local/bin,target=/host/bin; do
        [ ! -d "${mount%,*}" ] || set -- --mount "type=bind,source=$mount" "$@"
    done
    trap '' INT TERM HUP
    { code=$({ { status=0; feed | docker run -i --rm --name "$runtime-deploy" --label "flageemonitor.runtime=$runtime" \
        --label flageemonitor.role=deploy --user 0:0 --network none --read-only --tmpfs /tmp --cap-drop ALL --cap-add DAC_OVERRIDE \
        --cap-add CHOWN --cap-add FOWNER --security-opt no-new-privileges --security-opt label=disable \
        -e HTTPS_PROXY -e HTTP_PROXY -e NO_PROXY -e https_proxy -e http_proxy -e no_proxy -v "$socket:/var/run/docker.sock" "$@" 2>&1 3>&- 4>&- ||
        status=$?; echo "$status" >&4; } | relay >&3; } 4>&1); } 3>&1
    trap 'exit 1' INT TERM HUP
    case $code in
        (125 | 126 | 127 | '') fail 1 "The engine did not start $one_shot, or went away while it was at work (docker: $code)." \
            "O Docker não iniciou $one_shot, ou parou de responder durante o trabalho (docker: $code)." \
            'Start this again when it answers: what was begun is completed or taken back. If it does not have a folder of this host, it runs in a sandbox (snap): use Docker Engine.' \
            'Execute de novo quando ele responder: o que foi começado é completado ou desfeito. Se ele não tem uma pasta deste servidor, roda isolado (snap): use o Docker Engine.' ;;
    esac
}

relay() { while IFS= read -r line || [ -n "$line" ]; do say "$line"; done; }

# A leftover of ours is removed, never by force; one that runs is at work; one of somebody else stays.
clear_name() {
    found=$(docker container inspect --format '{{.Name}} {{.State.Status}} {{index .Config.Labels "flageemonitor.runtime"}} {{index .Config.Labels "org.opencontainers.image.title"}}' \
        "$runtime-deploy" 2>/dev/null || :)
    case $found in
        ("/$runtime-deploy "*" $runtime "* | "/$runtime-deploy "*' FlageeMonitor Proxy') ;;
        ("/$runtime-deploy "*) fail 1 "A container $runtime-deploy exists that FlageeMonitor did not make; nothing was changed." \
            "Existe um contêiner $runtime-deploy que não foi criado pelo FlageeMonitor; nada foi alterado." \
            "Rename it: docker rename $runtime-deploy another-name" "Renomeie-o: docker rename $runtime-deploy outro-nome" ;;
        (*) return 0 ;;
    esac
    case $found in
        ("/$runtime-deploy running "* | "/$runtime-deploy paused "* | "/$runtime-deploy restarting "*)
            fail 6 "Another installer or update of $runtime is at work; nothing was changed." "Outro instalador ou atualização de $runtime está em andamento; nada foi alterado." \
                'Try again in a minute.' 'Tente de novo em um minuto.' ;;
    esac
    docker rm "$runtime-deploy" >/dev/null 2>&1 || :
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

install() {
    check_everything
    pull_image
    knows "$wanted" install || fail 1 "The image $wanted is older than this installer and cannot install itself." "A imagem $wanted é mais antiga que este instalador e não consegue se instalar." \
        "Nothing was changed. Needed: the release of the control plane, ${SERVER_VERSION:-as it is now}, or a later one: --image $IMAGE" \
        "Nada foi alterado. É preciso a versão do servidor de controle, ${SERVER_VERSION:-a atual}, ou uma mais nova: --image $IMAGE"
    clear_name
    find_timer
    if [ -z "$dry_run" ]; then
        # Empty folders with a name that nobody knows beforehand: deploy must find them, so the engine mounts what this host sees.
        (umask 022 && mkdir -p /usr/local/bin /var/lib)
        seen=$(od -An -v -N8 -tx1 /dev/urandom | tr -d ' \n')
        for folder in "$etc" "$var"; do
            { mkdir -p "$folder" && mkdir "$folder/.seen-$seen"; } 2>/dev/null ||
                fail 1 "$folder cannot be written." "Não é possível escrever em $folder." 'Is the disk full or read-only? Nothing was changed.' 'O disco está cheio ou é somente leitura? Nada foi alterado.'
        done
    fi
    step "Installing $runtime for network $NETWORK" "Instalando $runtime para a rede $NETWORK"
    set -f # a registry with an IPv6 address looks like a pattern
    # shellcheck disable=SC2086 # words without blanks, see read_options
    run_deploy "$wanted" install $for_deploy
    set +f
    if [ "$timer" = systemd ] && [ -z "$dry_run" ] && [ -f "/etc/systemd/system/$runtime-repair.timer" ]; then
        { systemctl daemon-reload && systemctl enable --quiet --now "$runtime-repair.timer"; } ||
            fail 1 "The proxy runs, but systemd did not take its timer $runtime-repair.timer." "O proxy roda, mas o systemd não aceitou o timer $runtime-repair.timer." \
                "See: systemctl status $runtime-repair.timer" "Veja: systemctl status $runtime-repair.timer"
    elif [ "$timer" = none ] && [ "$code" = 0 ]; then
        t "Neither systemd nor /etc/cron.d is here. Have something call every five minutes: $runtime-update-image --repair" \
            "Não há systemd nem /etc/cron.d aqui. Configure algo para chamar a cada cinco minutos: $runtime-update-image --repair"
    fi
    case $code in (0 | 2 | 6) return "$code" ;; (*) return 1 ;; esac
}

# ---- Removing. `$runtime-uninstall` does the same without this script.

uninstall() {
    [ "$(id -u)" = 0 ] || fail 1 'This needs root: run it with sudo.' 'É preciso ser root: execute com sudo.'
    for folder in "$etc" "$var"; do [ ! -L "$folder" ] || fail 1 "Not removed: $folder is a link. Nothing was changed." "Não removido: $folder é um link. Nada foi alterado."; done
    choose_engine
    said=$(docker version --format '{{.Server.Version}}' 2>&1) ||
        fail 1 "Not removed: Docker does not answer at $DOCKER_HOST: $(one_line "$said"). Nothing was changed." \
            "Não removido: o Docker não responde em $DOCKER_HOST: $(one_line "$said"). Nada foi alterado."
    clear_name
    find_timer
    if [ -z "$data$yes$dry_run" ] && (: </dev/tty) 2>/dev/null; then
        t "Delete the data in $var as well (history, pinned host keys, what was not delivered yet)? [y/N]" \
            "Apagar também os dados em $var (histórico, chaves SSH registradas, o que ainda não foi entregue)? [s/N]" >/dev/tty
        IFS= read -r reply </dev/tty || reply=''
        case $reply in ([yYsS]*) data=--delete-data ;; esac
    fi
    for found in "$(docker container inspect --format '{{.Image}}' "$runtime" 2>/dev/null || :)" \
        "$(first "$image" "$(env_value FLAGEEMONITOR_IMAGE)" "$IMAGE")" "$(cat "$etc/healthy_image" 2>/dev/null || :)"; do
        if [ -n "$found" ] && knows "$found" uninstall; then break; fi
        found=''
    done
    if [ "$timer" = systemd ] && [ -z "$dry_run" ]; then paused=yes; systemctl disable --quiet --now "$runtime-repair.timer" >/dev/null 2>&1 || :; fi
    step "Removing $runtime" "Removendo $runtime"
    if [ -n "$found" ]; then
        case $data in (--delete-data) run_deploy "$found" uninstall "$data" ${dry_run:+--dry-run} ;; (*) run_deploy "$found" uninstall ${dry_run:+--dry-run} ;; esac
    else
        remove_by_label
    fi
    [ -n "$dry_run" ] || seen=none
    if [ "$timer" = systemd ] && [ -z "$dry_run" ]; then systemctl daemon-reload >/dev/null 2>&1 || :; fi
    case $code in (0 | 6) return "$code" ;; (*) return 1 ;; esac
}

# Where no image of this host knows how to remove itself: containers by their label, commands and timer. Folders are left.
remove_by_label() {
    code=0
    ids=$(docker ps -aq --filter "label=flageemonitor.runtime=$runtime") ||
        fail 1 'Not removed: Docker went away. Nothing was changed.' 'Não removido: o Docker parou de responder. Nada foi alterado.'
    t "Containers: $(one_line "$ids")" "Contêineres: $(one_line "$ids")"
    [ -z "$dry_run" ] || return 0
    for id in $ids; do
        { docker stop -t 150 "$id" && docker rm -f -v "$id"; } >/dev/null ||
            fail 1 "The container $id was not removed." "O contêiner $id não foi removido." 'When Docker answers, start this again.' 'Quando o Docker responder, execute de novo.'
    done
    for file in "/usr/local/bin/$runtime"-run "/usr/local/bin/$runtime"-logs "/usr/local/bin/$runtime"-update-config \
        "/usr/local/bin/$runtime"-update-image "/usr/local/bin/$runtime"-watchtower-logs "/usr/local/bin/$runtime"-uninstall \
        "/etc/systemd/system/$runtime-repair.service" "/etc/systemd/system/$runtime-repair.timer" "/etc/cron.d/$(printf '%s' "$runtime" | sed 's/[.]/DOT/g')-repair"; do
        if [ -f "$file" ] && [ ! -L "$file" ] && sed 5q "$file" | grep -q "FlageeMonitor Proxy"; then rm -f "$file"; fi
    done
    if [ "$data" = --delete-data ] && [ -f "$env_file" ]; then
        rm -rf "$etc" "$var"
    else
        t "Kept: $etc and $var." "Ficam: $etc e $var."
    fi
}

# shellcheck disable=SC2317 # a trap calls it
clean_up() {
    [ -z "$tty_state" ] || stty "$tty_state" </dev/tty
    [ -z "$work" ] || rm -rf "$work"
    # A removal that failed leaves a proxy that is still to be repaired.
    [ -z "$paused" ] || [ ! -f "/etc/systemd/system/$runtime-repair.timer" ] ||
        systemctl enable --quiet --now "$runtime-repair.timer" >/dev/null 2>&1 || :
    # What deploy cannot remove: the folders that were mounted, when they are empty.
    [ -z "$seen" ] || rmdir "$etc/.seen-$seen" "$var/.seen-$seen" "$etc/config" "$etc" "$var" 2>/dev/null || :
}

main() {
    language=en
    case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in (pt*) language=pt-BR ;; esac
    unset BOOTSTRAP_TOKEN secret answer # none of them may be exported to what is started
    umask 077
    LC_ALL=C
    export LC_ALL
    work='' tty_state='' seen='' paused=''
    trap clean_up EXIT
    trap '' PIPE
    trap 'exit 1' INT TERM HUP
    (true 3>&1) 2>/dev/null || exec >/dev/null
    (true 3>&2) || exec 2>/dev/null
    values
    read_options "$@"
    if [ -n "$uninstall" ]; then uninstall; else install; fi
}

# Nothing here reads stdin, which is the script itself where it was piped into sh.
main "$@" </dev/null
exit
}
