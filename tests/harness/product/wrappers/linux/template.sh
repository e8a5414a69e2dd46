#!/bin/sh
# A stand-in for the wrapper @COMMAND@.
echo '@COMMAND@: $HOME `date` \ "quoted"' "$@"
