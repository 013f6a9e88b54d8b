#!/bin/bash
# On a compute node, as root: a plain job with the plugin's line in Slurm's configuration and one without. Each slurmstepd
# reads it anew. Prints the whole command in µs with and without, and the footprint without.
set -euo pipefail
line=/etc/slurm/plugstack.conf.d/k8s.conf
back() { [ ! -e $line.side-by-side ] || mv $line.side-by-side $line; }
trap back EXIT
one() {
  local begin end
  "${0%/*}/idle.sh"
  begin=$EPOCHREALTIME
  srun --job-name=side-by-side --chdir=/tmp --nodelist="$(hostname)" true
  end=$EPOCHREALTIME
  echo $((${end/./} - ${begin/./}))
}
with=$(one)
mv $line $line.side-by-side
without=$(one)
footprint=$("${0%/*}/footprint.sh")
echo "$with $without $footprint"
