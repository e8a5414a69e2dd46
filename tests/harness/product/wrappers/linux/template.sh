#!/bin/sh
# A stand-in for the wrapper @COMMAND@.
# shellcheck disable=SC2016 # as it is, so that a test sees whether it stays so
echo '@COMMAND@: $HOME `date` \ "quoted"' "$@"
