#!/bin/bash
# Prepares a bundle of the image for `runc run`. Arguments: the image, the bundle's folder.
set -euo pipefail
mkdir -p "$2/rootfs" "$2/image"
trap 'ctr --namespace=k8s.io images unmount --rm "$2/image" > /dev/null; rmdir "$2/image"' EXIT
ctr --namespace=k8s.io images mount "$1" "$2/image" > /dev/null
cp -a "$2/image/." "$2/rootfs"
cd "$2"
runc spec
sed -i -e 's/"terminal": true/"terminal": false/' -e 's/"sh"/"true"/' config.json
