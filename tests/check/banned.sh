#!/bin/bash
# Calls and words that this tree does without. Prints file:line and what to use instead;
# exit status 1 when there is one. ROOT: the tree to look at (default: this one).
set -eu
cd "${ROOT:-$(dirname "$0")/../..}"

sources=$(find kernels engine pipeline scheduler tests -type f \
              \( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) | LC_ALL=C sort)
if [ -z "$sources" ]; then
    echo "banned: no C files below $PWD: nothing was checked" >&2
    exit 1
fi

rc=0
# shellcheck disable=SC2086
awk '
BEGIN {
    instead["strcpy"] = instead["strcat"] = instead["strncat"] = instead["stpcpy"] = \
        "snprintf, memcpy, or a struct sea_buf"
    instead["strncpy"] = "snprintf: strncpy may leave out the final 0"
    instead["sprintf"] = instead["vsprintf"] = "snprintf, or sea_arena_printf"
    instead["gets"] = instead["scanf"] = "sea_file_read, or getline"
    instead["strtok"] = instead["strtok_r"] = "strcspn and strspn: strtok changes its input"
    instead["atoi"] = instead["atol"] = instead["atoll"] = instead["atof"] = \
        "strtol or strtod, and look at the end pointer and errno"
    instead["rand"] = instead["srand"] = instead["random"] = instead["srandom"] = \
        instead["drand48"] = "sea_rng.h: numbers that are the same in each run"
    instead["alloca"] = "an arena, or an array of fixed size"
    instead["system"] = instead["popen"] = "posix_spawn or execv with a list of arguments: no shell"
    instead["tmpnam"] = instead["tempnam"] = instead["mktemp"] = "mkdtemp, or sea_file_writer_open"
    instead["setlocale"] = "nothing: numbers in files have a point in every country"
}

function complain(words, hint) {
    printf "%s:%d: %s\n    %s\n", FILENAME, FNR, words, hint
    bad = 1
}

# Goes through the line once: `code` gets it without comments, texts and characters; texts
# goes to `strings`, one after another. in_comment lasts over lines.
function take_apart(line,    c, two, n, i) {
    code = strings = ""
    n = length(line)
    for (i = 1; i <= n; i++) {
        c = substr(line, i, 1)
        two = substr(line, i, 2)
        if (in_comment) {
            if (two == "*/") { in_comment = 0; i++ }
        } else if (two == "/*") {
            in_comment = 1; i++; code = code " "
        } else if (two == "//") {
            return
        } else if (c == "\"" || c == "\047") {
            quote = c
            strings = strings "\001"
            for (i++; i <= n && (c = substr(line, i, 1)) != quote; i++) {
                if (c == "\\") { i++; strings = strings c; c = substr(line, i, 1) }
                strings = strings c
            }
            code = code "\"\""
        } else {
            code = code c
        }
    }
}

FNR == 1 { in_comment = 0 }

# Most lines hold neither a call of these nor SQL: look closely only at the others.
in_comment || /\/\*/ || /(str[n]?c(py|at)|stpcpy|sprintf|gets|scanf|strtok|ato|rand|alloca|system|popen|temp|tmpnam|setlocale)/ || (FILENAME ~ "^scheduler/" && /SELECT|INSERT|UPDATE|DELETE/) {
    take_apart($0)
    rest = code
    while (match(rest, /[A-Za-z_][A-Za-z0-9_]*[ \t]*[(]/)) {
        name = substr(rest, RSTART, RLENGTH - 1)
        sub(/[ \t]+$/, "", name)
        before = RSTART > 1 ? substr(rest, RSTART - 1, 1) : " "
        if (name in instead && before !~ /[.>]/)
            complain("call of " name, "Use " instead[name] ".")
        rest = substr(rest, RSTART + RLENGTH)
    }
    if (FILENAME ~ /^scheduler\/.*[.]c$/ && strings ~ /(SELECT |INSERT INTO|UPDATE .* SET|DELETE FROM)/)
        complain("SQL inside C", "Put the query into sql/queries/NAME.sql and call it by its name.")
}
END { exit bad }' $sources || rc=1

# Marks of unfinished work, in every text of the tree.
if find . \( -name .git -o -name build \) -prune -o -type f \
        \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.sh' -o -name '*.awk' \
           -o -name '*.sql' -o -name '*.y*ml' -o -name '*.md' -o -name '*.py' -o -name Makefile \) \
        -print0 | LC_ALL=C sort -z |
        xargs -0 grep -nwE 'TOD[O]|FIXM[E]|XX[X]|HAC[K]' /dev/null |
        sed -e 's|^\./||' -e 's|$|\n    Do it now, or say what breaks and when: "NEEDSWORK: ...".|' |
        grep .; then
    rc=1
fi
exit $rc
