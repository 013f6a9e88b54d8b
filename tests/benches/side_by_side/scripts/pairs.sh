#!/bin/bash
# In an allocation of the compute node it runs on, as root: plain steps in pairs, with the plugin and without, the one or
# the other first. Prints for each pair the µs with and without. Argument: how many pairs.
set -euo pipefail
here=${0%/*}
clock=("$here/clock.sh" srun --overlap true)
for ((pair = 0; pair < $1; pair++)); do
  if ((pair % 2)); then
    with=$("${clock[@]}") && without=$("$here/without.sh" "${clock[@]}")
  else
    without=$("$here/without.sh" "${clock[@]}") && with=$("${clock[@]}")
  fi
  echo "$with $without"
done
