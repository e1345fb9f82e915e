#!/bin/bash
# Which file may include which header: scheduler -> pipeline -> engine -> kernels, libraries
# only in the pair of files that wraps them. Prints file:line, what is wrong and what to do;
# exit status 1 when something is. ROOT: the tree to look at (default: this one).
set -eu
cd "${ROOT:-$(dirname "$0")/../..}"

files=$(find kernels engine pipeline scheduler tests -type f \
            \( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \
               -o -name '*.inc' \) | LC_ALL=C sort)
if [ -z "$files" ]; then
    echo "layers: no C files below $PWD: nothing was checked" >&2
    exit 1
fi
# shellcheck disable=SC2086
awk '
BEGIN {
    # Who may include what, by the first folders of the path.
    may["kernels"]     = "^kernels/"
    may["engine/base"] = "^engine/base/"
    may["engine"]      = "^(engine/|kernels/sea_ops[.]h$)"
    may["pipeline"]    = "^(pipeline|engine)/"
    may["scheduler"]   = "^(scheduler|pipeline|engine/base)/"
    may["tests"]       = "."
    says["kernels"]     = "kernels is a leaf and includes kernels/ only"
    says["engine/base"] = "engine/base includes engine/base/ only"
    says["engine"]      = "engine includes engine/ and kernels/sea_ops.h only"
    says["pipeline"]    = "pipeline includes pipeline/ and engine/ only"
    says["scheduler"]   = "scheduler includes scheduler/, pipeline/ and engine/base/ only"

    # Headers of libraries, and the files that wrap the library.
    wrap("^jansson[.]h$",        "^engine/base/json[.]c$")
    wrap("^yaml[.]h$",           "^engine/base/yaml[.]c$")
    wrap("^openssl/",            "^(engine/base/hash|scheduler/sigv4)[.]c$")
    wrap("^turbojpeg[.]h$",      "^engine/image[a-z_]*[.]c$")
    wrap("^png[.]h$",            "^(engine/image[a-z_]*|pipeline/scenes/[a-z_]*)[.]c$")
    wrap("^(zstd|snappy-c)[.]h$", "^pipeline/parquet_codec[.]c$")
    wrap("^zlib[.]h$",           "^pipeline/(benchmarks/zip|parquet[a-z_]*)[.]c$")
    wrap("^webp/",               "^engine/image[a-z_]*[.]c$")
    wrap("^pcre2[.]h$",          "^engine/token[a-z_]*[.]c$")
    # The scorers follow Python in lower(), \d and split(), which no tokenizer needs.
    wrap("^utf8proc[.]h$",       "^(engine/token[a-z_]*|pipeline/benchmarks/text)[.]c$")
    wrap("^(ft2build[.]h|freetype)", "^pipeline/scenes/emoji[.]c$")
    wrap("^(libpq-fe|libpq-events|postgres_fe)[.]h$", "^scheduler/db(_rows[.]c|_connect[.]c|_int[.]h|[.]c)$")
    wrap("^curl/",               "^(scheduler/[a-z0-9_]*|pipeline/judge_http)[.]c$")
    wrap("^microhttpd[.]h$",     "^(scheduler/[a-z_]*[.]c|tests/scheduler/s3_server[.]h)$")
    wrap("^CUnit/",              "^tests/sea_test[.][ch]$")
    wrap("^(cublas|cudnn|nccl|mma|cooperative_groups|cub/)", "^kernels/cuda/")
    # The engine loads the plugin, the plugin loads cuBLASLt.
    wrap("^dlfcn[.]h$",          "^(engine/(device|nccl)[.]c|kernels/cuda/blas[.]cu|tests/)")
    # CUDA in plain C++, for the tests of kernels/cuda.
    wrap("^(cuda_runtime[.]h|functional|tuple|utility|map|deque|memory|vector|link[.]h)$", "^(kernels/cuda|tests/gpu/emu)/")

    # The C library and the system.
    n = split("assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp " \
              "signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn " \
              "string tgmath threads time uchar wchar wctype " \
              "dirent fcntl fnmatch ftw getopt glob grp libgen netdb poll pthread pwd regex " \
              "sched semaphore spawn strings syslog termios unistd utime execinfo ucontext " \
              "immintrin x86intrin cpuid arm_neon", names, " ")
    for (i = 1; i <= n; i++)
        is_libc[names[i] ".h"] = 1
}

function wrap(header, file) {
    lib_header[++libs] = header
    lib_file[libs] = file
}

function complain(words, hint) {
    printf "%s:%d: %s\n    %s\n", FILENAME, FNR, words, hint
    bad = 1
}

function folder_of(path) {
    sub("/[^/]*$", "", path)
    return path
}

function own_header(name,    layer, found, line) {
    layer = FILENAME
    sub("/.*", "", layer)
    if (FILENAME ~ "^engine/base/")
        layer = "engine/base"
    if (name == "sea_sql_text.inc" && FILENAME == "scheduler/sql_text.c")
        return                          # made by embed_sql.awk
    if (name !~ "/") {
        complain("include \"" name "\" does not start at the root",
                 "Write the path from the root of the tree: \"" folder_of(FILENAME) "/" name "\".")
        return
    }
    if (name ~ "[.][.]/" || name ~ "//" || name ~ "^/") {
        complain("include \"" name "\" is not a plain path", "Write it from the root of the tree.")
        return
    }
    if (!(name in exists)) {
        found = (getline line < name) >= 0
        close(name)
        exists[name] = found
    }
    if (!exists[name])
        complain("include \"" name "\" does not exist", "Mend the path or add the header.")
    if (layer == "tests")
        return                          # may look at anything
    if (name !~ may[layer])
        complain("include \"" name "\" points the wrong way", says[layer] "; move what is needed down, or pass it in.")
    if (name ~ "(_int[.]h|[.]cuh)$" && folder_of(name) != folder_of(FILENAME))
        complain("include \"" name "\" is private to " folder_of(name),
                 "Use a sea_*.h header of that folder, or add to one what is missing.")
    if (name ~ "[.]inc$") {
        # Loops that are compiled once for each instruction set: isa_NAME.c, isa.inc, others.
        if (folder_of(name) != folder_of(FILENAME) ||
            (name ~ "/isa[.]inc$" ? FILENAME !~ "/isa_[a-z0-9]*[.]c$" : FILENAME !~ "/(isa[.]inc|dot_[a-z0-9]*[.]c)$"))
            complain("include \"" name "\" is not for this file",
                     "isa_NAME.c includes isa.inc; it and dot_NAME.c the other .inc files; no one else does.")
        return
    }
    if (name !~ "/sea_[^/]*[.]h$" && name !~ "(_int[.]h|[.]cuh)$")
        complain("include \"" name "\" has no name of a header",
                 "Headers for other folders are called sea_NOUN.h, private ones NOUN_int.h.")
}

function system_header(name,    i) {
    for (i = 1; i <= libs; i++)
        if (name ~ lib_header[i]) {
            if (FILENAME !~ lib_file[i])
                complain("<" name "> outside of the files that wrap the library",
                         "Use the sea_*.h header of its wrapper (" lib_file[i] "); the table is in tests/check/layers.sh.")
            return
        }
    if (name in is_libc || name ~ "^(sys|netinet|arpa|net|linux|asm)/[a-z0-9_]*[.]h$")
        return
    complain("<" name "> is a library that no wrapper is named for",
             "Add its row to the table in tests/check/layers.sh: the one file that may include it.")
}

/^[ \t]*#[ \t]*include/ {
    line = $0
    if (match(line, /"[^"]*"/))
        own_header(substr(line, RSTART + 1, RLENGTH - 2))
    else if (match(line, /<[^>]*>/))
        system_header(substr(line, RSTART + 1, RLENGTH - 2))
    else if (line !~ /FT_[A-Z_]*_H/)    # FreeType, which wants it so
        complain("include without a plain name", "Write the name out.")
    else
        system_header("freetype/")
    includes++
}

END {
    if (!includes) {
        print "layers: no include was found: nothing was checked"
        bad = 1
    }
    exit bad
}' $files
