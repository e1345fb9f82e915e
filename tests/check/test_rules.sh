#!/bin/bash
# Every test that tests/pipeline/RULES.md names for a rule exists and is run.
set -u
cd "$(dirname "$0")/../.." || exit 1
passed=0 failed=0
for name in $(grep -oE '`[a-z][a-z0-9_]+`' tests/pipeline/RULES.md | tr -d '`' | sort -u); do
    if grep -rqE "TEST\($name\)" tests/pipeline; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL tests/pipeline/RULES.md names $name, which no test program runs"
    fi
done
if [ $passed -lt 60 ]; then
    failed=$((failed + 1))
    echo "FAIL only $passed rules were looked at"
fi
echo "rules: $passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
