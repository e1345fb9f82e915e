#!/bin/bash
# The map of statuses in engine/base/sea_err.h against the pages that tell people about it,
# and the words for the end of an attempt in C against those that the database takes.
# ROOT: the tree to look at (default: this one).
set -eu
cd "${ROOT:-$(dirname "$0")/../..}"

awk '
function complain(words, hint) {
    printf "%s:%d: %s\n    %s\n", FILENAME, FNR, words, hint
    bad = 1
}

# Columns of a Markdown row without their blanks: 2 is the first.
function columns(    i) {
    count = split($0, column, "|")
    for (i = 1; i <= count; i++)
        gsub(/^[ \t]+|[ \t]+$/, "", column[i])
}

# The map: X(E_NAME, WHEN, code, "words").
FILENAME == "engine/base/sea_err.h" && match($0, /X\(E_[A-Z]*, *[A-Z]*, *[0-9]*,/) {
    split(substr($0, RSTART + 2, RLENGTH - 3), part, /, */)
    exit_of[part[1]] = part[3]
    when_of[part[1]] = part[2]
    if (part[3] in when && when[part[3]] != part[2])
        complain("exit status " part[3] " is tried again " when[part[3]] " and " part[2],
                 "A reader of the exit status alone could not tell: give one of them another.")
    when[part[3]] = part[2]
    statuses++
}

# docs/errors.md: name, exit status, when, words.
FILENAME == "docs/errors.md" && /^\| `E_/ {
    columns()
    name = column[2]
    gsub(/`/, "", name)
    seen[name] = 1
    told = column[4] ~ /^never/ ? "NEVER" : column[4] ~ /no cost/ ? "FREE" : "LATER"
    if (exit_of[name] != column[3] || when_of[name] != told)
        complain(name " is " column[3] " " told " here, and " exit_of[name] " " when_of[name] \
                 " in engine/base/sea_err.h", "Mend with: build/sea config errors > docs/errors.md")
}

# docs/events.md: exit statuses, meaning, what the service does.
FILENAME == "docs/events.md" && /^\| [0-9, ]+ \|/ {
    columns()
    told = column[4] ~ /never/ ? "NEVER" : column[4] ~ /costs nothing/ ? "FREE" : "LATER"
    n = split(column[2], code, /, */)
    for (i = 1; i <= n; i++) {
        if (code[i] == 0)
            continue
        listed[code[i]] = 1
        known = code[i] in when ? when[code[i]] : "unknown"
        if (known != told)
            complain("exit status " code[i] " is " told " here, and " known \
                     " in engine/base/sea_err.h", "Mend the table.")
    }
}

# Ends of attempts: those of the database, then those that C names.
FILENAME ~ /^sql\// && /class IN \(/ {
    rest = $0
    while (match(rest, /\047[a-z]+\047/)) {
        class[substr(rest, RSTART + 1, RLENGTH - 2)] = 1
        classes++
        rest = substr(rest, RSTART + RLENGTH)
    }
}
FILENAME == "scheduler/attempt_end.c" && match($0, /return "[a-z]+";/) {
    word = substr($0, RSTART + 8, RLENGTH - 10)
    named++
    if (!(word in class))
        complain("an attempt cannot end as \"" word "\" in the database",
                 "Use a class of attempt_class_known in sql/migrations, or add it there.")
}

END {
    for (name in exit_of) {
        if (!(name in seen)) {
            printf "docs/errors.md:1: %s is missing\n", name
            bad = 1
        }
        if (!(exit_of[name] in listed)) {
            printf "docs/events.md:1: exit status %s is missing\n", exit_of[name]
            bad = 1
            listed[exit_of[name]] = 1
        }
    }
    if (!statuses || !classes || !named) {
        print "statuses: no map, no class or no end of an attempt was found: nothing was checked"
        bad = 1
    }
    exit bad
}' engine/base/sea_err.h docs/errors.md docs/events.md sql/migrations/*.sql scheduler/attempt_end.c
