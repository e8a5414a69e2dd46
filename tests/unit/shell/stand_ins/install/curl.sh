#!/bin/sh
# Stands in for curl: records its arguments, and answers as `-w '%{http_code} %{content_type}'` from the files `health` or
# `health-fails` (exit code and message) in $STAND_IN.
set -eu
for word; do printf '%s\037' "$word"; done >>"$STAND_IN/curl"
printf '\036' >>"$STAND_IN/curl"
if [ -f "$STAND_IN/health-fails" ]; then
    read -r code message <"$STAND_IN/health-fails"
    printf 'curl: (%s) %s\n000 ' "$code" "$message"
    exit "$code"
fi
cat "$STAND_IN/health"
