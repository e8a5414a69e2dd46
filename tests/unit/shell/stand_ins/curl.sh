#!/bin/sh
# Stands in for curl: records its arguments, and its stdin apart, and answers as a control plane from files in $STAND_IN:
# `health-fails` (exit code and message), `health-code`, `health-body`, `date`, `registry-fails` (answer and code), `enrol` (answer and code), `config-code`.
set -eu

read_or() {
    if [ -f "$1" ]; then cat "$1"; else printf '%s\n' "$2"; fi
}

main() {
    for word; do printf '%s\037' "$word"; done >>"$STAND_IN/curl"
    printf '\036' >>"$STAND_IN/curl"
    url='' sent=''
    for word; do
        case $word in
            (http*) url=$word ;;
            (-) sent=$(cat) ;;
        esac
    done
    printf '%s\n' "$sent" >>"$STAND_IN/curl-stdin"
    case $url in
        (*/api/bootstrap/health)
            if [ -f "$STAND_IN/health-fails" ]; then
                read -r code message <"$STAND_IN/health-fails"
                echo "curl: ($code) $message" >&2
                echo "status 000"
                exit "$code"
            fi
            printf 'HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate: %s\r\n\r\n' "$(read_or "$STAND_IN/date" "$(date -u '+%a, %d %b %Y %H:%M:%S GMT')")"
            read_or "$STAND_IN/health-body" '{"status":"ok","version":"1.2.3"}'
            printf '\nstatus %s\n' "$(read_or "$STAND_IN/health-code" 200)" ;;
        (http://localhost/distribution/*)
            if [ -f "$STAND_IN/registry-fails" ]; then cat "$STAND_IN/registry-fails"; else printf '{}\nstatus 200\n'; fi ;;
        (*/api/bootstrap/enroll*) cat "$STAND_IN/enrol" ;;
        (*/bot/config*) read_or "$STAND_IN/config-code" 200 ;;
        (*) echo "stand-in: what is $url?" >&2; exit 99 ;;
    esac
}

main "$@"
