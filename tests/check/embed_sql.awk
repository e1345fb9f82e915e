# Prints the SQL of the product as C rows: { "name", "text" } for scheduler/sql_text.c.
# A migration is one row named "migration/NNNN_words", its way down "migration_down/NNNN_words";
# a query file holds blocks that each start with "-- name: NAME".
function flush_block() {
    if (name != "") printf "{ \"%s\",\n%s},\n", name, text
    name = ""; text = ""
}
# By hand: awks disagree about backslashes in the replacement of gsub. A question mark could
# open a trigraph.
function escaped(line,    out) {
    while (match(line, /[\\"?]/)) {
        out = out substr(line, 1, RSTART - 1) "\\" substr(line, RSTART, 1)
        line = substr(line, RSTART + 1)
    }
    return out line
}
function add(line) {
    text = text "  \"" escaped(line) "\\n\"\n"
}
FNR == 1 {
    flush_block()
    if (FILENAME ~ /migrations\//) {
        name = FILENAME; sub(/.*\//, "", name); sub(/\.sql$/, "", name)
        name = (FILENAME ~ /migrations\/down\// ? "migration_down/" : "migration/") name
    }
}
/^-- name: / && FILENAME !~ /migrations\// { flush_block(); name = $3; next }
name != "" { add($0) }
END { flush_block() }
