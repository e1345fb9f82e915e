#!/bin/bash
# Each header compiles alone and twice as C17, and those that carry `extern "C"` as C++17.
# CC and CXX: the compilers. ROOT: the tree to look at (default: this one).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "${ROOT:-$here/../..}"
CC=${CC:-cc}

# One header; called by the loop at the end.
check_one() {
    local header=$1 rc=0
    printf '#include "%s"\n#include "%s"\ntypedef int sea_nothing;\n' "$header" "$header" |
        $CC -x c -std=c17 -fsyntax-only -Wall -Wextra -Wpedantic -Wstrict-prototypes -Werror \
            -D_POSIX_C_SOURCE=200809L -D_XOPEN_SOURCE=700 -D_DEFAULT_SOURCE -I. $PKG_CFLAGS - || {
        echo "$header:1: does not compile alone as C17"
        echo "    Include in it what it uses, and guard it against a second include."
        rc=1
    }
    if [ -n "$CXX" ] && grep -q '^extern "C"' "$header"; then
        printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
            $CXX -x c++ -std=c++17 -fsyntax-only -Wall -Wextra -Werror -I. - || {
            echo "$header:1: carries extern \"C\" but does not compile as C++17"
            echo "    Leave out what only C has (restrict, _Alignas, designated initialisers)."
            rc=1
        }
    fi
    return $rc
}

if [ "${1:-}" = --one ]; then
    shift
    rc=0
    for header in "$@"; do
        check_one "$header" || rc=1
    done
    exit $rc
fi

# Two headers with one guard hide each other.
twice=$(find kernels engine pipeline scheduler tests -name '*.h' -print0 | LC_ALL=C sort -z |
    xargs -0 -r awk '
        FNR == 1 { seen = 0 }
        /^#ifndef / && !seen {
            seen = 1
            if ($2 in first)
                printf "%s:%d: guard %s is that of %s, too\n    Name it after the header.\n",
                       FILENAME, FNR, $2, first[$2]
            first[$2] = FILENAME
        }')
[ -z "$twice" ] || { echo "$twice"; exit 1; }

# kernels/cuda is C++ and needs this one.
if [ -f kernels/sea_ops.h ] && ! grep -q '^extern "C"' kernels/sea_ops.h; then
    echo 'kernels/sea_ops.h:1: has no extern "C", but kernels/cuda includes it'
    exit 1
fi

if [ -z "${CXX:-}" ]; then
    for CXX in g++ clang++ ''; do
        [ -z "$CXX" ] || ! command -v "$CXX" >/dev/null || break
    done
fi
[ -n "$CXX" ] || echo "SKIP headers: no C++ compiler, so no header was tried as C++17"
PKG_CFLAGS=$(pkg-config --cflags libpq yaml-0.1 jansson libcurl freetype2 libpcre2-8 2>/dev/null || true)
export CC CXX PKG_CFLAGS ROOT="$PWD"
# The emulation of CUDA and what includes CUDA are C++ alone.
find kernels engine pipeline scheduler tests -name '*.h' ! -path '*/emu/*' ! -path '*/cuda/*' -print0 | LC_ALL=C sort -z |
    xargs -0 -r -n 8 -P 2 "$here/headers.sh" --one || exit 1
