#!/bin/sh
# Protects packages with PyArmor inside the image build, so that Python version and libc are the image's own.
# protect.sh LICENCE SOURCE TARGET PACKAGE...   LICENCE: full (PyArmor's file is the build secret `pyarmor_licence`), trial or none.
set -eu

main() {
    licence=$1 source=$2 target=$3
    shift 3
    mkdir -p "$target"
    case $licence in
        (none)
            for package; do cp -R "$source/$package" "$target/$package"; done
            return ;;
        (full)
            secret=/run/secrets/pyarmor_licence
            if [ ! -s "$secret" ]; then
                echo "LICENCE=full needs PyArmor's licence file: --secret id=pyarmor_licence,src=FILE" >&2
                exit 1
            fi
            # PyArmor takes the file by its ending.
            cp "$secret" /tmp/licence.zip
            pyarmor reg /tmp/licence.zip >/dev/null
            rm -f /tmp/licence.zip
            if pyarmor -v | grep -qi trial; then
                echo "PyArmor still says that it is a trial: the licence file was not taken" >&2
                exit 1
            fi ;;
        (trial) ;;
        (*) echo "LICENCE is full, trial or none, not '$licence'" >&2; exit 2 ;;
    esac
    cd "$source"
    # One runtime package for all of them. A path, because a bare `runtime` is one of PyArmor's own words.
    paths=
    for package; do paths="$paths ./$package"; done
    # shellcheck disable=SC2086
    pyarmor gen --recursive --output "$target" $paths >/tmp/pyarmor.log 2>&1 || { cat /tmp/pyarmor.log >&2; exit 1; }
    # PyArmor copies no data; the protected tree must hold the same modules, no more and no less.
    for package; do
        (cd "$source" && find "$package" -name '*.py' | sort) >/tmp/wanted
        (cd "$target" && find "$package" -name '*.py' | sort) >/tmp/got
        cmp /tmp/wanted /tmp/got
    done
}

main "$@"
