#!/bin/bash
# A slice of the fault suite: as many seeded faults of all kinds as fit into half a minute, the
# history checked. `make fault` runs 10,000.
set -u
cd "$(dirname "$0")/../.."
build=${SEA_BUILD:-build/dev}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0

SEA_ROOT=$PWD timeout 120 "$build/tests/fault/fault" --runs 250 --seconds 30 \
    --seed "${FAULT_SEED:-11}" > "$log" 2>&1
rc=$?
if [ $rc -eq 0 ]; then
    passed=$((passed + 1))
    tail -n 1 "$log"
else
    failed=$((failed + 1))
    echo "FAIL the fault suite ended with $rc"
    tail -n 60 "$log"
fi
echo "test_fault_smoke: $passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
