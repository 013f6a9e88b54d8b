#!/bin/bash
# Runs a command while a file is not there. Arguments: the file, the command.
set -euo pipefail
file=$1 && shift
mv "$file" "$file.side-by-side"
trap 'mv "$file.side-by-side" "$file"' EXIT
"$@"
