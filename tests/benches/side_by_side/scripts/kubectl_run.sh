#!/bin/bash
# One Pod for one command, as kubectl offers it. Argument: the image.
set -euo pipefail
read -ra kubectl <<< "${KUBECTL:-kubectl} --namespace=default"
exec "${kubectl[@]}" run "side-by-side-$SLURM_JOB_ID" --image="$1" --labels=made-by=side-by-side \
  --overrides="{\"spec\": {\"nodeName\": \"$SLURMD_NODENAME\", \"automountServiceAccountToken\": false}}" \
  --restart=Never --rm --attach --quiet --command -- true
