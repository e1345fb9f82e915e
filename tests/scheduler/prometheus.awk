# Reads a page in Prometheus' text format 0.0.4 and prints what is wrong with it, a line each:
# heads before samples, one block per family, names and labels of the allowed characters,
# escapes, numbers, counters that end in _total (and nothing else that does), base units, no
# sample twice, a newline at the end. Exit status 1 when anything was found.
function complain(what) { print FILENAME ":" NR ": " what ": " $0; bad = 1 }
function name_of(line) { return match(line, /^[a-zA-Z_:][a-zA-Z0-9_:]*/) ? substr(line, 1, RLENGTH) : "" }
/^# HELP / {
    if (($3 in help)) complain("second HELP of " $3)
    if (NF < 4 || $0 ~ /\\[^\\n]/) complain("HELP without text, or with a bad escape")
    help[$3] = 1; current = $3; next
}
/^# TYPE / {
    if (($3 in type)) complain("second TYPE of " $3)
    if ($4 !~ /^(counter|gauge|histogram|summary|untyped)$/ || NF != 4) complain("unknown type")
    if ($3 != current) complain("TYPE does not follow its HELP")
    if (($4 == "counter") != ($3 ~ /_total$/)) complain("counters, and they alone, end in _total")
    if ($3 ~ /(_ms|_milliseconds|_kb|_mb|_minutes|_percent)$/) complain("not a base unit")
    type[$3] = $4; next
}
/^#/ || /^$/ { next }
{
    name = name_of($0)
    if (name == "") { complain("no name"); next }
    if (!(name in type)) complain("sample before its TYPE")
    if (name != current) complain("sample outside of its family's block")
    rest = substr($0, length(name) + 1)
    labels = ""; split("", seen_label)
    if (substr(rest, 1, 1) == "{") {
        rest = substr(rest, 2)
        while (match(rest, /^[a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\[\\n"])*",?/)) {
            one = substr(rest, 1, RLENGTH); key = one; sub(/=.*/, "", key)
            if (key in seen_label) complain("label " key " twice")
            if (key ~ /^__/) complain("reserved label " key)
            seen_label[key] = 1; labels = labels one; rest = substr(rest, RLENGTH + 1)
        }
        if (substr(rest, 1, 1) != "}") { complain("bad labels"); next }
        rest = substr(rest, 2)
    }
    if (rest !~ /^ [-+]?([0-9]+([.][0-9]*)?([eE][-+]?[0-9]+)?|[.][0-9]+|Inf|Infinity|NaN)( -?[0-9]+)?$/)
        complain("not a value")
    if (((name labels)) in seen) complain("sample twice")
    seen[name labels] = 1; samples++
    if (type[name] == "counter" && rest ~ /^ -/) complain("negative counter")
}
END {
    for (name in type) if (!(name in help)) { print "no HELP of " name; bad = 1 }
    if (!samples) { print "no samples"; bad = 1 }
    exit bad
}
