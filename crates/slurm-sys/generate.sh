#!/usr/bin/env bash
# Prints src/table.rs: where the parts of job_desc_msg_t are, in every version whose slurm.h is given.
#
#   generate.sh FOLDER…   each has slurm/slurm.h, as /usr/include has it with libslurm-dev installed
#   generate.sh --git REPOSITORY   every release since 22.05 that a clone of Slurm's repository has
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fields=$(sed -n 's/^    \([a-z_]*\): "[a-z].*/\1/p' src/layout.rs)

# One line: the version's number, then each field's offset, then the size.
measure() {
  {
    echo '#include <stddef.h>'
    echo '#include <stdio.h>'
    echo '#include <slurm/slurm.h>'
    echo 'int main(void) { printf("0x%02x_%02x_%02x", SLURM_VERSION_NUMBER >> 16, SLURM_VERSION_NUMBER >> 8 & 0xff, SLURM_VERSION_NUMBER & 0xff);'
    for field in $fields; do echo "printf(\" %zu\", offsetof(job_desc_msg_t, $field));"; done
    echo 'printf(" %zu\n", sizeof(job_desc_msg_t)); return 0; }'
  } > "$work/measure.c"
  cc -I"$1" -o "$work/measure" "$work/measure.c" && "$work/measure"
}

from_git() {
  for tag in $(git --git-dir="$1" tag | grep -E '^slurm-(2[2-9]|[3-9][0-9])-[0-9]{2}-[0-9]+-1$' | grep -v -E '^slurm-22-0[1-4]'); do
    mkdir -p "$work/$tag/slurm"
    for file in slurm.h slurm_errno.h slurmdb.h smd_ns.h; do
      git --git-dir="$1" show "$tag:slurm/$file" > "$work/$tag/slurm/$file" 2> /dev/null || rm -f "$work/$tag/slurm/$file"
    done
    IFS=- read -r _ major minor micro _ <<< "$tag"
    printf '#define SLURM_VERSION_NUMBER 0x%02x%02x%02x\n' "$((10#$major))" "$((10#$minor))" "$((10#$micro))" \
      > "$work/$tag/slurm/slurm_version.h"
    measure "$work/$tag" || echo "$tag has no slurm.h that compiles" >&2
    rm -rf "${work:?}/$tag"
  done
}

{
  while [ $# -gt 0 ]; do
    if [ "$1" = --git ]; then from_git "$2"; shift 2; else measure "$1"; shift; fi
  done
} | sort -u > "$work/lines"

echo '// Made by generate.sh from the headers of each version. Do not edit.'
echo
echo '/// Every known version, those with the same layout together.'
echo 'pub const LAYOUTS: &[Layout] = &['
cut -d' ' -f2- "$work/lines" | awk '!seen[$0]++' | while read -r offsets; do
  versions=$(awk -v want="$offsets" '{ line = $0; sub(/^[^ ]* /, "", line); if (line == want) print $1 }' "$work/lines")
  echo '    Layout {'
  echo '        versions: &['
  echo "$versions" | paste -sd' ' | fold -s -w 98 | sed 's/ *$//; s/ /, /g; s/^/            /; s/$/,/'
  echo '        ],'
  set -- $offsets
  for field in $fields; do echo "        $field: $1,"; shift; done
  echo "        size: $1,"
  echo '    },'
done
echo '];'
