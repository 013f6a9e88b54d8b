#!/bin/bash
# Waits until every node is idle and no Pod runs, and a moment more for what the kubelet and containerd still clear up.
set -euo pipefail
left() {
  sinfo --noheader --Node --format='%N is %T' | grep --invert-match ' idle$'
  kubectl get pods --all-namespaces --field-selector=status.phase!=Succeeded,status.phase!=Failed --output=name
}
for ((try = 0; try < 150; try++)); do
  left=$(left || :)
  [ -n "$left" ] || { sleep 0.3 && exit; }
  sleep 0.2
done
echo "the testbed does not get idle:" $left >&2
exit 1
