#!/bin/bash
# The static analysers: clang-tidy over the C files named as arguments (default: all),
# and the names that the libraries export. What is missing on this machine is said and
# left out (`make deps-lint` installs it). JOBS: analysers at once (default 2).
set -eu
cd "${ROOT:-$(dirname "$0")/../..}"
build=${BUILD:-build/dev}
rc=0

# The list is short because each of them has to be right nearly always. Left out is what
# judges taste, wants functions that glibc does not have (annex K), proposes strcpy, or does
# not know that equal bits are what we compare.
checks='-*,bugprone-*,cert-flp30-c,misc-redundant-expression,misc-misplaced-const'
checks=$checks,readability-misleading-indentation,readability-duplicate-include
for out in easily-swappable-parameters narrowing-conversions reserved-identifier \
           implicit-widening-of-multiplication-result assignment-in-if-condition \
           macro-parentheses branch-clone suspicious-include sizeof-expression \
           not-null-terminated-result suspicious-memory-comparison \
           suspicious-string-compare misplaced-widening-cast; do
    checks=$checks,-bugprone-$out
done
# Paths through a function. Not for tests: a failed CHECK goes on, and the sanitizers see
# what they do.
paths=,clang-analyzer-*,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling

# One file; runs under xargs. clang-tidy counts what it hid and what it found on lines of
# their own: those are left out.
tidy_one() {
    more=$paths model='-include tests/check/lint_model.h'
    case $1 in
    tests/*) more= ;;
    engine/base/err.c) model= ;;
    esac
    # shellcheck disable=SC2086
    words=$(clang-tidy --quiet --checks="$checks$more" --warnings-as-errors='*' \
                --header-filter='(kernels|engine|pipeline|scheduler|tests)/.*' "$1" -- \
                -std=c17 -D_POSIX_C_SOURCE=200809L -D_XOPEN_SOURCE=700 -D_DEFAULT_SOURCE -I. -I"$gen" $model $flags 2>&1) ||
        { printf '%s\n' "$words" | grep -vE '^([0-9]+ warnings? |Suppressed |Use -header|$)'; exit 1; }
}

if command -v clang-tidy >/dev/null; then
    gen=$(mktemp -d)
    trap 'rm -rf "$gen"' EXIT
    sql=$(find sql -name '*.sql' 2>/dev/null | LC_ALL=C sort || true)
    # shellcheck disable=SC2086
    awk -f tests/check/embed_sql.awk ${sql:-/dev/null} > "$gen/sea_sql_text.inc"
    flags=$(pkg-config --cflags libpq libcurl yaml-0.1 jansson libpng libwebp freetype2 libcrypto \
                libpcre2-8 libutf8proc libmicrohttpd 2>/dev/null || true)
    export gen flags checks paths
    export -f tidy_one
    if [ $# -eq 0 ]; then
        find kernels engine pipeline scheduler tests -name '*.c' -print0
    else
        printf '%s\0' "$@"
    fi | LC_ALL=C sort -z | xargs -0 -r -n 1 -P "${JOBS:-2}" bash -c 'tidy_one "$1"' -- || rc=1
else
    echo "SKIP lint: clang-tidy is not installed (make deps-lint)"
fi

# Everything visible outside its file starts with sea_.
libraries=$(find "$build" -maxdepth 1 -name '*.a' 2>/dev/null || true)
if [ -n "$libraries" ] && command -v nm >/dev/null; then
    # shellcheck disable=SC2086
    names=$(nm -A -g --defined-only $libraries 2>/dev/null |
        awk '$3 !~ /^(sea_|main$|__|_)/ && $2 ~ /[TDBRC]/ { print $1 " exports " $3 }')
    if [ -n "$names" ]; then
        printf '%s\n' "$names" | sed 's|$|\n    Make it static, or let its name start with sea_.|'
        rc=1
    fi
else
    echo "SKIP lint: nothing is built in $build, so no exported name was looked at"
fi
exit $rc
