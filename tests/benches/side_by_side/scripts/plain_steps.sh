#!/bin/bash
# In an allocation of the compute node it runs on, as root: plain steps with the plugin's line in Slurm's configuration,
# without, and with it again; srun and each slurmstepd read it anew. They come first in turn, and each hides a file, so
# that nothing else differs. Prints the µs of the three for each turn. Arguments: the line's file, how many turns.
set -euo pipefail
here=${0%/*}
touch "$here/other"
hidden=("$here/other" "$1" "$here/other")
for ((turn = 0; turn < $2; turn++)); do
  for ((place = 0; place < 3; place++)); do
    step=$(((turn + place) % 3))
    took[step]=$("$here/hide.sh" "${hidden[step]}" "$here/clock.sh" srun --overlap true)
  done
  echo "${took[@]}"
done
