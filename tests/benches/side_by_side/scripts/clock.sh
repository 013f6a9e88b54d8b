#!/bin/bash
# Prints how many µs a command takes.
set -euo pipefail
begin=$EPOCHREALTIME
"$@" > /dev/null
end=$EPOCHREALTIME
echo $((${end/./} - ${begin/./}))
