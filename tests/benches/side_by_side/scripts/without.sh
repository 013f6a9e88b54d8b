#!/bin/bash
# On a compute node, as root: runs a command while the plugin's line is not in Slurm's configuration, which srun and each
# slurmstepd read anew.
set -euo pipefail
line=/etc/slurm/plugstack.conf.d/k8s.conf
mv $line $line.side-by-side
trap 'mv $line.side-by-side $line' EXIT
"$@"
