#!/bin/bash
# On a compute node, as root: prints the threads and the memory (all and private, in KiB) of the slurmstepd of a sleeping
# job here. Arguments: sbatch's options.
set -euo pipefail
marker=${0%/*}/sleeps
rm -f "$marker"
job=$(sbatch --parsable --job-name=side-by-side --uid=alice --chdir=/tmp --output=/dev/null \
  --nodelist="$(hostname)" --wrap="touch $marker; sleep 60" "$@")
trap 'scancel "$job"' EXIT
until [ -e "$marker" ]; do sleep 0.1; done
sleep 1
awk '/^(Threads|VmRSS|RssAnon):/ {found[$1] = $2} END {print found["Threads:"], found["VmRSS:"], found["RssAnon:"]}' \
  "/proc/$(pgrep --oldest --full "^slurmstepd: \[$job\.")/status"
