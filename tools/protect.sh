#!/bin/sh
# Protects packages with PyArmor inside the image build, so that Python version and libc are the image's own.
# protect.sh LICENCE SOURCE TARGET PACKAGE...   LICENCE: full (PyArmor's file is the build secret `pyarmor_licence`), trial or none.
# What PyArmor is told of the licence stays in a folder that goes away with this script: the step becomes a layer of the build cache.
set -eu

main() {
    licence=$1 source=$2 target=$3
    shift 3
    mkdir -p "$target"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # What it keeps of a registration goes into this folder instead of the home folder, what it keeps of a project into the
    # current one.
    export PYARMOR_HOME="$work/home"
    cp -R "$source" "$work/source"
    cd "$work/source"
    case $licence in
        (none)
            for package; do cp -R "$source/$package" "$target/$package"; done
            return ;;
        (full)
            secret=${PYARMOR_LICENCE_FILE:-/run/secrets/pyarmor_licence}
            if [ ! -s "$secret" ]; then
                echo "LICENCE=full needs PyArmor's licence file: --secret id=pyarmor_licence,src=FILE" >&2
                exit 1
            fi
            # PyArmor takes the file by its ending.
            cp "$secret" "$work/licence.zip"
            pyarmor reg "$work/licence.zip" >/dev/null
            rm -f "$work/licence.zip"
            if pyarmor -v | grep -qi trial; then
                echo "PyArmor still says that it is a trial: the licence file was not taken" >&2
                exit 1
            fi ;;
        (trial) ;;
        (*) echo "LICENCE is full, trial or none, not '$licence'" >&2; exit 2 ;;
    esac
    # One runtime package for all of them. A path, because a bare `runtime` is one of PyArmor's own words.
    paths=
    for package; do paths="$paths ./$package"; done
    # shellcheck disable=SC2086
    pyarmor gen --recursive --output "$target" $paths >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    # PyArmor copies no data; the protected tree must hold the same modules, no more and no less.
    for package; do
        (cd "$work/source" && find "$package" -name '*.py' | sort) >"$work/wanted"
        (cd "$target" && find "$package" -name '*.py' | sort) >"$work/got"
        cmp "$work/wanted" "$work/got"
    done
}

main "$@"
