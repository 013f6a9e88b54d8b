#!/usr/bin/env bash
# Builds the last commit in two folders, as two users with cargo folders of their own would, and compares what comes out.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/target/reproducible
rm -rf "$work"
mkdir -p "$work/one" "$work/some/where/else"
ln -s "${CARGO_HOME:-$HOME/.cargo}" "$work/cargo"
for place in "one ${CARGO_HOME:-$HOME/.cargo}" "some/where/else $work/cargo"; do
  read -r folder home <<< "$place"
  git clone --quiet . "$work/$folder"
  echo "building $(git rev-parse --short HEAD) in $work/$folder"
  CARGO_HOME=$home make --no-print-directory --directory "$work/$folder" build
done
code=0
static=target/static/x86_64-unknown-linux-gnu/release
for file in target/release/{libspank_k8s.so,libjob_submit_k8s.so,slurm-k8s} $static/slurm-k8s-{agent,runtime}; do
  if cmp "$work/one/$file" "$work/some/where/else/$file"; then
    sha256sum "$work/one/$file" | sed "s|$work/one/target/||"
  else
    code=1
  fi
done
[ "$code" -ne 0 ] || rm -rf "$work"
exit "$code"
