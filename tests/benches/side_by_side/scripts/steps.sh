#!/bin/bash
# In an allocation of all nodes, runs job steps of one task back to back, on all nodes at once: Slurm's scheduler has no
# part in it. Steps may overlap: where Slurm has yet to clear up the one before, srun of 22.05 can sleep for a minute, with
# and without Pods. Prints the µs it took and how many succeeded.
# Arguments: how many on each node, then srun's options and command.
set -euo pipefail
count=$1 && shift
begin=$EPOCHREALTIME
for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
  for ((step = 0; step < count; step++)); do
    srun --nodes=1 --ntasks=1 --overlap --nodelist="$node" "$@" > /dev/null && echo .
  done &
done > "${0%/*}/done.$SLURM_JOB_ID"
wait
end=$EPOCHREALTIME
echo "$((${end/./} - ${begin/./})) $(wc --lines < "${0%/*}/done.$SLURM_JOB_ID")"
