#!/bin/bash
# Submits batch jobs that each take a whole node, and waits for the last one's end. Prints the µs it took and how many jobs
# were COMPLETED. Arguments: how many, then sbatch's options.
set -euo pipefail
count=$1 && shift
jobs=
begin=$EPOCHREALTIME
for ((job = 0; job < count; job++)); do
  jobs+=,$(sbatch --parsable --job-name=side-by-side --exclusive --chdir=/tmp --output=/dev/null "$@")
done
while [ -n "$(squeue --noheader --jobs="${jobs#,}" --states=PD,R,CF,CG)" ]; do sleep 0.1; done
end=$EPOCHREALTIME
states=$(squeue --noheader --jobs="${jobs#,}" --states=all --format=%T)
echo "$((${end/./} - ${begin/./})) $(grep --count COMPLETED <<< "$states" || :)"
