#!/bin/bash
# The house checks on this tree, and each of them on a small tree into which a fault is
# planted: a check that cannot fail shows nothing.
set -u
here=$(cd "$(dirname "$0")" && pwd)
small=$(mktemp -d)
trap 'rm -rf "$small"' EXIT
passed=0 failed=0 skipped=0

verdict() {                     # ok? what, output
    if [ "$1" = yes ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAIL %s\n' "$2"
        printf '%s\n' "$3" | sed 's/^/    /' | head -n 40
    fi
}

for check in layers headers banned statuses; do
    if out=$("$here/$check.sh" 2>&1); then ok=yes; else ok=no; fi
    verdict $ok "$check.sh finds faults in this tree" "$out"
    printf '%s\n' "$out" | grep '^SKIP' && skipped=$((skipped + 1))
done

# A small tree without a fault.
fresh() {
    rm -rf "${small:?}"/*
    mkdir -p "$small"/{kernels/cpu,engine/base,pipeline/stages,scheduler/cmd,tests/unit,docs,sql/migrations}
    guarded kernels/sea_ops.h SEA_OPS_H 'extern "C" {' '}'
    guarded engine/base/sea_err.h SEA_ERR_H 'extern "C" {' '}'
    guarded engine/sea_lm.h SEA_LM_H '#include "engine/base/sea_err.h"' 'struct sea_lm { int n; };'
    guarded engine/lm_int.h SEA_LM_INT_H '#include "engine/sea_lm.h"' 'struct sea_lm lm_make(void);'
    guarded pipeline/sea_stage.h SEA_STAGE_H '#include "engine/sea_lm.h"' ''
    guarded scheduler/sea_queue.h SEA_QUEUE_H '#include "pipeline/sea_stage.h"' ''
    add engine/base/sea_err.h '/* X(E_CONFIG, NEVER, 64, "a")' ' X(E_IO, LATER, 74, "b") */'
    put docs/errors.md '| `E_CONFIG` | 64 | never: mend it | a |' '| `E_IO` | 74 | after a pause | b |'
    put docs/events.md '| 0 | done | committed |' '| 64 | bad | is never tried again |' \
        '| 74 | full | tried again |'
    put sql/migrations/0001_tables.sql "(class IN ('invalid', 'error'))"
    put scheduler/attempt_end.c 'const char *end(void) { return "error"; }'
    put engine/lm.c '#include "engine/lm_int.h"' '#include <stdio.h>' '#include "kernels/sea_ops.h"'
    put engine/base/json.c '#include "engine/base/sea_err.h"' '#include <jansson.h>'
    put pipeline/stages/tune.c '#include "pipeline/sea_stage.h"' \
        '/* strcpy(a, b), and an atoi ( "x" ) */ int brand(int x) { return p->system(x); } // gets()'
    put kernels/cpu/isa_wide.c '#include "kernels/cpu/isa.inc"'
    put kernels/cpu/isa.inc '#include "kernels/cpu/gemm.inc"'
    put kernels/cpu/gemm.inc '#include <math.h>'
    put scheduler/cmd/queue.c '#include "scheduler/sea_queue.h"' '#include "engine/base/sea_err.h"' \
        '/* "SELECT 1" */ const char *s = "could not select, strcpy(x)"; int strands(char c);' \
        "int c = '\"'; /* over */ int d; /* two" 'lines with rand() in */ int e;'
    put tests/unit/test_lm.c '#include "engine/lm_int.h"' '#include "scheduler/sea_queue.h"'
}

put() {                         # file, lines
    file=$1
    shift
    printf '%s\n' "$@" > "$small/$file"
}

guarded() {                     # header, guard, two lines
    # Under C the lines of C++ do not show.
    if [ "$3" = 'extern "C" {' ]; then
        put "$1" "#ifndef $2" "#define $2" '#ifdef __cplusplus' "$3" "$4" '#endif' '#endif'
    else
        put "$1" "#ifndef $2" "#define $2" "$3" "$4" '#endif'
    fi
}

add() {                         # file, lines
    file=$1
    shift
    printf '%s\n' "$@" >> "$small/$file"
}

expect_clean() {                # check
    if out=$(ROOT=$small "$here/$1.sh" 2>&1); then ok=yes; else ok=no; fi
    verdict $ok "$1.sh finds faults in a tree without any" "$out"
}

# The fault is planted already: the check must name its file, its line and these words.
expect_fault() {                # check, file:line, words
    out=$(ROOT=$small "$here/$1.sh" 2>&1)
    rc=$?
    ok=no
    [ $rc -eq 1 ] && printf '%s\n' "$out" | grep -F "$2:" | grep -qF -- "$3" && ok=yes
    verdict $ok "$1.sh does not report \"$3\" at $2 (exit status $rc)" "$out"
    fresh
}

fresh
for check in layers headers banned statuses; do
    expect_clean $check
done

# Directions.
put kernels/cpu/gemm.c '' '#include "engine/sea_lm.h"'
expect_fault layers kernels/cpu/gemm.c:2 'points the wrong way'
put engine/base/err.c '#include "engine/sea_lm.h"'
expect_fault layers engine/base/err.c:1 'points the wrong way'
add engine/lm.c '#include "pipeline/sea_stage.h"'
expect_fault layers engine/lm.c:4 'points the wrong way'
guarded kernels/sea_fast.h SEA_FAST_H '' ''
add engine/lm.c '#include "kernels/sea_fast.h"'
expect_fault layers engine/lm.c:4 'points the wrong way'
add pipeline/stages/tune.c '#  include "scheduler/sea_queue.h"'
expect_fault layers pipeline/stages/tune.c:3 'points the wrong way'
add pipeline/stages/tune.c '#include "kernels/sea_ops.h"'
expect_fault layers pipeline/stages/tune.c:3 'points the wrong way'
add scheduler/cmd/queue.c '#include "engine/sea_lm.h"'
expect_fault layers scheduler/cmd/queue.c:6 'points the wrong way'
guarded tests/sea_test.h SEA_TEST_H '' ''
add engine/lm.c '#include "tests/sea_test.h"'
expect_fault layers engine/lm.c:4 'points the wrong way'
# Loop templates.
put kernels/cpu/gemm.c '#include "kernels/cpu/gemm.inc"'
expect_fault layers kernels/cpu/gemm.c:1 'is not for this file'
put kernels/cpu/gemm.c '#include "kernels/cpu/isa.inc"'
expect_fault layers kernels/cpu/gemm.c:1 'is not for this file'
put engine/isa_wide.c '#include "kernels/cpu/isa.inc"'
expect_fault layers engine/isa_wide.c:1 'points the wrong way'
add kernels/cpu/isa.inc '#include "kernels/cpu/nothing.inc"'
expect_fault layers kernels/cpu/isa.inc:2 'does not exist'
add kernels/cpu/gemm.inc '#include "engine/sea_lm.h"'
expect_fault layers kernels/cpu/gemm.inc:2 'points the wrong way'
# Private headers, names, libraries.
add pipeline/stages/tune.c '#include "engine/lm_int.h"'
expect_fault layers pipeline/stages/tune.c:3 'is private to engine'
put engine/base/lm.c '#include "engine/base/sea_err.h"' '#include "engine/lm_int.h"'
expect_fault layers engine/base/lm.c:2 'is private to engine'
put engine/lm.h ''
add engine/lm.c '#include "engine/lm.h"'
expect_fault layers engine/lm.c:4 'has no name of a header'
add engine/lm.c '#include "lm_int.h"'
expect_fault layers engine/lm.c:4 'does not start at the root'
add engine/lm.c '#include "engine/../engine/sea_lm.h"'
expect_fault layers engine/lm.c:4 'is not a plain path'
add engine/lm.c '#include "engine/sea_nothing.h"'
expect_fault layers engine/lm.c:4 'does not exist'
add engine/lm.c '#include <jansson.h>'
expect_fault layers engine/lm.c:4 'outside of the files that wrap the library'
add scheduler/cmd/queue.c '#include <libpq-fe.h>'
expect_fault layers scheduler/cmd/queue.c:6 'outside of the files that wrap the library'
add engine/lm.c '#include <onnx.h>'
expect_fault layers engine/lm.c:4 'no wrapper is named for'
rm -rf "${small:?}"/{kernels,engine,pipeline,scheduler,tests}/*
if out=$(ROOT=$small "$here/layers.sh" 2>&1); then ok=no; else ok=yes; fi
verdict $ok "layers.sh is content with a tree without files" "$out"
fresh

# Headers alone.
guarded engine/sea_params.h SEA_PARAMS_H 'size_t sea_params_count(void);' ''
expect_fault headers engine/sea_params.h:1 'does not compile alone as C17'
put engine/sea_params.h 'struct sea_params { int n; };'
expect_fault headers engine/sea_params.h:1 'does not compile alone as C17'
guarded engine/sea_params.h SEA_LM_H 'struct sea_params { int n; };' ''
expect_fault headers engine/sea_params.h:1 'guard SEA_LM_H is that of engine/sea_lm.h, too'
guarded kernels/sea_ops.h SEA_OPS_H '' ''
expect_fault headers kernels/sea_ops.h:1 'has no extern "C"'
if command -v g++ >/dev/null || command -v clang++ >/dev/null; then
    guarded kernels/sea_ops.h SEA_OPS_H 'extern "C" {' 'int f(int *restrict p); }'
    expect_fault headers kernels/sea_ops.h:1 'does not compile as C++17'
else
    skipped=$((skipped + 1))
    echo "SKIP headers: no C++ compiler, so a fault in C++ could not be planted"
fi

# Calls and words.
for call in strcpy strcat sprintf vsprintf gets strtok atoi atol rand srand alloca system popen; do
    add engine/lm.c 'int x; /* a comment' "that ends */ int y = f(\"/*\") + $call (x);"
    expect_fault banned engine/lm.c:5 "call of $call"
done
for word in TO-DO FIX-ME X-XX HA-CK; do
    add engine/lm.c "/* ${word/-/}: later */"
    expect_fault banned engine/lm.c:4 "${word/-/}"
done
put notes.md "here is a ${word/-/} for you"
expect_fault banned notes.md:1 "${word/-/}"
rm -f "$small/notes.md"
for sql in 'SELECT 1' 'INSERT INTO t' 'UPDATE t SET x = 1'; do
    add scheduler/cmd/queue.c "const char *q = \"$sql\";"
    expect_fault banned scheduler/cmd/queue.c:6 'SQL inside C'
done

# Statuses.
put docs/errors.md '| `E_CONFIG` | 65 | never: mend it | a |' '| `E_IO` | 74 | after a pause | b |'
expect_fault statuses docs/errors.md:1 'E_CONFIG is 65 NEVER here'
put docs/errors.md '| `E_CONFIG` | 64 | never: mend it | a |'
expect_fault statuses docs/errors.md:1 'E_IO is missing'
put docs/errors.md '| `E_CONFIG` | 64 | after a pause | a |' '| `E_IO` | 74 | after a pause | b |'
expect_fault statuses docs/errors.md:1 'E_CONFIG is 64 LATER here'
add engine/base/sea_err.h '/* X(E_ODD, LATER, 64, "c") */'
expect_fault statuses engine/base/sea_err.h:10 'exit status 64 is tried again NEVER and LATER'
put docs/events.md '| 64, 74 | bad | is never tried again |'
expect_fault statuses docs/events.md:1 'exit status 74 is NEVER here'
add docs/events.md '| 73 | what | tried again |'
expect_fault statuses docs/events.md:4 'exit status 73 is LATER here, and unknown'
put docs/events.md '| 74 | full | tried again |'
expect_fault statuses docs/events.md:1 'exit status 64 is missing'
put scheduler/attempt_end.c '' 'const char *end(void) { return "fire"; }'
expect_fault statuses scheduler/attempt_end.c:2 'cannot end as "fire"'

# SQL comes through C unchanged, whatever awk is installed.
mkdir -p "$small/sql/queries"
cc=${CC:-$(command -v gcc || command -v clang || echo cc)}
put sql/queries/odd.sql '-- name: odd' "SELECT E'\\\\n', 'a\\d' ~ '\\\\\\\\', \"t & u\", j ?? ??/ '&' ;" '' '	tab'
put show.c '#include <stdio.h>' 'static const char *rows[][2] = {' '#include "rows.inc"' '};' \
    'int main(void) { return fputs(rows[0][1], stdout) < 0; }'
tail -n +2 "$small/sql/queries/odd.sql" > "$small/expected"
for awk in mawk gawk original-awk busybox; do
    command -v $awk >/dev/null || continue
    run=$awk
    [ $awk = busybox ] && run='busybox awk'
    if out=$(cd "$small" && { $run -f "$here/embed_sql.awk" sql/queries/odd.sql > rows.inc &&
             $cc -std=c17 -Wall -Wextra -Wpedantic -Werror -o show show.c &&
             ./show > shown && diff expected shown; } 2>&1); then ok=yes; else ok=no; fi
    verdict $ok "embed_sql.awk under $awk changes SQL" "$out"
done

echo "house checks: $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
