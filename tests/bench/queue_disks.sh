#!/bin/bash
# The queue beside pgbench on slower disks: `sea bench queue` with every sync of a file made
# longer by so many microseconds. A line for each: syncs a second, pgbench, one by one, batches.
# DELAYS="0 500 1000 2000". SEA: the program (build/sea). About three minutes for each.
set -eu
cd "$(dirname "$0")/../.."
sea=${SEA:-build/sea}
work=$(mktemp -d "${TMPDIR:-/tmp}/sea-disks-XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
${CC:-cc} -shared -fPIC -O2 -o "$work/slow_sync.so" tests/bench/slow_sync.c -ldl
printf '%-12s %10s %12s %18s %18s\n' 'sync longer' 'syncs/s' 'pgbench' 'one by one' 'batches of 32'
for us in ${DELAYS:-0 500 1000 2000}; do
    SLOW_SYNC_US=$us LD_PRELOAD=$work/slow_sync.so "$sea" bench queue --hold 1 > "$work/out"
    awk -v us="$us" '
        /^disk/ { syncs = $2 }
        /^pgbench/ { raw = $6 }
        /^sea, commit and claim/ { one = $5 " (" $7 ")" }
        /^sea, batches/ { batch = $5 " (" $7 ")" }
        END { printf "%9d us %10s %12s %18s %18s\n", us, syncs, raw, one, batch }' "$work/out"
done
