#!/bin/bash
# A Pod with neither Slurm nor spank-k8s. Prints, in seconds since 1970, when its POST left, when its command ran, and when
# the API server showed its container's end and its phase. The command is over at once: when it ran, it ended.
# It has no service account's token, so no volume. Arguments: the image (it has bash), the node.
set -euo pipefail
pod=side-by-side-$$
folder=$(mktemp -d)
watch=
leave() {
  kill $watch
  rm -r "$folder"
  kubectl delete pod "$pod" --namespace=default --ignore-not-found --force --grace-period=0
} > /dev/null 2>&1
trap leave EXIT

field() { sed -n "s/^ *$1: //p" "$KUBECONFIG"; }
for name in certificate-authority client-certificate client-key; do
  field $name-data | base64 -d > "$folder/$name"
done
pods=$(field server)/api/v1/namespaces/default/pods
ask() {
  exec curl --silent --show-error --fail --noproxy '*' --max-time 60 --cacert "$folder/certificate-authority" \
    --cert "$folder/client-certificate" --key "$folder/client-key" "$@"
}

exec 3< <(ask --no-buffer "$pods?watch=1&fieldSelector=metadata.name=$pod")
watch=$!
took=$(ask --json @- --output /dev/null --write-out '%{time_total} - %{time_pretransfer}' "$pods" <<POD
{"apiVersion": "v1", "kind": "Pod",
 "metadata": {"name": "$pod", "labels": {"made-by": "side-by-side"}},
 "spec": {"nodeName": "$2", "restartPolicy": "Never", "automountServiceAccountToken": false,
  "containers": [{"name": "job", "image": "$1", "command": ["bash", "-c", "echo \$EPOCHREALTIME"]}]}}
POD
)
answered=$EPOCHREALTIME
while read -r -t 60 event <&3; do
  now=$EPOCHREALTIME
  case $event in *'"terminated":{'*) terminated=${terminated:-$now} ;; esac
  case $event in *'"phase":"Succeeded"'*) succeeded=$now && break ;; esac
done
ran=$(kubectl logs "$pod" --namespace=default)
# The end of curl's process is in `answered`: the POST left a little earlier.
echo "$(awk "BEGIN {printf \"%.6f\", $answered - ($took)}") $ran $terminated $succeeded"
