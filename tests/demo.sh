#!/usr/bin/env bash
# A real job, step by step, from an ordinary user's shell on the login host.
set -euo pipefail
cd "$(dirname "$0")/.."

as_alice() { cargo testbed exec -- "$@"; }
prompt() { printf '\033[2malice@login$\033[0m %s\n' "$*"; }
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { prompt "$@"; as_alice "$@"; }

image=$(cargo testbed image userland)
folder=$(as_alice mktemp -d /mnt/nas/demo.XXXXXX)
as_alice tee "$folder/job.sh" > /dev/null <<'JOB'
#!/bin/bash
#SBATCH --job-name=primes
echo "job $SLURM_JOB_ID as $(id -un) in $(pwd), on Slurm node $SLURMD_NODENAME, host name $(hostname)"
python3 - <<'PY'
n, sieve = 3_000_000, bytearray([1]) * 3_000_000
for i in range(2, int(n ** 0.5) + 1):
    if sieve[i]:
        sieve[i * i::i] = bytes(len(range(i * i, n, i)))
print("primes below", n, ":", sum(sieve) - 2)
PY
sleep 4
exit 3
JOB

say 'The job: a batch script as it always was'
show cat "$folder/job.sh"
say 'Submit it; the only new thing is --k8s-image'
show sbatch "--k8s-image=$image" "--output=$folder/out" "$folder/job.sh" | tee "/tmp/spank-k8s-demo.$$"
job=$(awk '/Submitted/ {print $NF}' "/tmp/spank-k8s-demo.$$")
rm -f "/tmp/spank-k8s-demo.$$"

deadline=$((SECONDS + 60))
until as_alice kubectl get pods -l "job-id=$job" --no-headers 2>/dev/null | grep -q Running; do
  [ "$SECONDS" -lt "$deadline" ] || { echo "the Pod of job $job did not run within 60 s" >&2; exit 1; }
done
say 'Slurm has it running'
show squeue
say 'and so has Kubernetes'
show kubectl get pods -l app=slurm-job -o wide

deadline=$((SECONDS + 60))
until as_alice scontrol show job "$job" | grep -qE 'JobState=(COMPLETED|FAILED)'; do
  [ "$SECONDS" -lt "$deadline" ] || { echo "job $job did not end within 60 s" >&2; exit 1; }
done
say 'It has ended: its output'
show cat "$folder/out"
say 'its exit code'
prompt scontrol show job "$job"
as_alice scontrol show job "$job" | grep -E 'JobState|ExitCode'
say 'and no Pod is left'
show kubectl get pods -l app=slurm-job
as_alice rm -r "$folder"
