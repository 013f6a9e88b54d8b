#!/bin/bash
# The site's guide as one script: its prolog applies a Pod and waits until it is ready, the job enters it, its epilog
# deletes it. Argument: the image.
set -euo pipefail
pod=side-by-side-$SLURM_JOB_ID-${SLURM_STEP_ID:-batch}
read -ra kubectl <<< "${KUBECTL:-kubectl} --namespace=default"
trap '"${kubectl[@]}" delete pod "$pod" --now --wait=false > /dev/null' EXIT
"${kubectl[@]}" apply --filename=- > /dev/null <<POD
apiVersion: v1
kind: Pod
metadata: {name: $pod, labels: {made-by: side-by-side}}
spec:
  nodeName: $SLURMD_NODENAME
  restartPolicy: Never
  automountServiceAccountToken: false
  containers: [{name: job, image: $1, command: [sleep, infinity]}]
POD
"${kubectl[@]}" wait --for=condition=Ready --timeout=60s "pod/$pod" > /dev/null
"${kubectl[@]}" exec "$pod" -- true
