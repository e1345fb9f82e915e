#!/bin/bash
# make gpu-bundle: build/gpu-bundle, which runs `make test-gpu` and `make bench-gpu` on a machine
# with a card, its driver and a C library not older than ours: no compiler, no PostgreSQL, none
# of our libraries. For PyTorch's side of the benchmark it takes the machine's own python3.
#
#     bin/     the program, its plugin, test programs and bench_gpu, without debug information
#     lib/     every library they load but the C library, found with ldd
#     root/    the scripts and fixtures that the tests read, laid out as in the tree
#     run.sh   test | bench | both [folder for reports]
#
# and the same as one file, build/gpu-bundle.tgz, to copy.
#
# BUNDLE: another folder. LIMIT_MB (60): it fails when the folder is larger.
set -eu
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build/dev}
to=${BUNDLE:-build/gpu-bundle}
limit=${LIMIT_MB:-60}

rm -rf "$to"
mkdir -p "$to/bin/tests/gpu" "$to/bin/tests/engine" "$to/bin/tests/bench" "$to/lib/c++" "$to/root"
programs="sea tests/bench/bench_gpu tests/gpu/test_cuda"
for test in graphs lm_families towers clip clip_hf optim labels checkpoint; do
    programs="$programs tests/engine/test_$test"
done
for extra in "$BUILD"/tests/gpu/test_*; do
    case $extra in *.o | *.d | *.so | */test_cuda) ;; *) programs="$programs tests/gpu/${extra##*/}" ;; esac
done
for one in $programs; do
    strip -o "$to/bin/$one" "$BUILD/$one"
done
cp "$BUILD/tests/gpu/libsea_cuda.so" "$to/bin/tests/gpu/"
[ ! -f "$BUILD/libsea_cuda.so" ] || cp "$BUILD/libsea_cuda.so" "$to/bin/"

# libc and its parts belong to the loader of the machine: never carried.
for one in $programs; do
    ldd "$to/bin/$one"
done | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(libc|libm|libdl|libpthread|librt|libresolv|libutil|libnss_[a-z]*|ld-linux[^/]*)\.so' |
    while read -r lib; do
        into=$to/lib
        # A C++ runtime of the machine's own is newer as a rule, and its libraries count on it.
        case $lib in */libstdc++.* | */libgcc_s.*) into=$to/lib/c++ ;; esac
        cp -L "$lib" "$into/"
        strip --strip-unneeded "$into/${lib##*/}" 2>/dev/null || true
    done

tar -cf - tests/gpu/*.sh tests/bench/gpu.sh tests/bench/gpu_torch.py tests/e2e/lib.sh \
    tests/oracle/fixtures configs/experiments/scenes-tiny.yaml | tar -C "$to/root" -xf -
# Pictures are drawn from a font, words come from WordNet: such a machine has neither.
"$BUILD/sea" data scenes --out "$to/root/scenes" --train 24 --eval 8 --kinds 12 \
    > /dev/null 2>&1
grep -rhoE '[a-z]{3,}' "$to/root/scenes" --include='*.json' | sort | uniq -c | sort -rn |
    awk 'NR <= 400 { print $2 }' > "$to/root/scenes/words.txt"
cat > "$to/run.sh" <<'END'
#!/bin/bash
# usage: run.sh test|bench|both [FOLDER]    reports go to FOLDER (the current one)
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 1
what=${1:-both}
out=$(mkdir -p "${2:-.}" && cd "${2:-.}" && pwd) || exit 1
# Where CUDA's toolkit or PyTorch's packages put a library, when the loader does not know it.
look_for() {                    # variable, the file's name with wildcards
    local lib
    [ -z "${!1:-}" ] || return 0
    ! ldconfig -p 2>/dev/null | grep -q "${2%%.*}[.]so" || return 0
    for lib in /usr/local/cuda*/lib64/$2 /usr/local/cuda*/targets/*/lib/$2 \
        $(timeout 20 "${PYTHON:-python3}" -c 'import glob, site, sys, sysconfig
for base in {*site.getsitepackages(), sysconfig.get_path("purelib")}:
    for found in glob.glob(base + "/nvidia/*/lib/" + sys.argv[1]):
        print(found)' "$2" 2>/dev/null); do
        [ ! -f "$lib" ] || export "$1=$lib"
    done
}
look_for SEA_CUBLASLT 'libcublasLt.so.1[23]'
look_for SEA_NCCL libnccl.so.2
# Our libraries for our programs only: python3 keeps its own.
libs=$here/lib
ldconfig -p 2>/dev/null | grep -q 'libstdc++.so.6' || libs=$libs:$here/lib/c++
[ ! -d /usr/local/nvidia/lib64 ] || libs=$libs:/usr/local/nvidia/lib64
mkdir -p "$here/wrap/tests/gpu" "$here/wrap/tests/engine" "$here/wrap/tests/bench"
for program in "$here"/bin/sea "$here"/bin/tests/*/*; do
    name=${program#"$here/bin/"}
    case $name in *.so) ln -sf "$program" "$here/wrap/$name"; continue ;; esac
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec %s "$@"\n' \
        "$libs" "$program" > "$here/wrap/$name"
    chmod +x "$here/wrap/$name"
done
[ ! -f "$here/bin/libsea_cuda.so" ] || ln -sf "$here/bin/libsea_cuda.so" "$here/wrap/"
export BUILD=$here/wrap SEA_TEST_SCENES=$here/root/scenes
cd "$here/root" || exit 1
rc=0
if [ "$what" = test ] || [ "$what" = both ]; then
    REPORTS=$out tests/gpu/run.sh || rc=1
fi
if [ "$what" = bench ] || [ "$what" = both ]; then
    REPORTS=$out tests/bench/gpu.sh || rc=1
fi
exit $rc
END
chmod +x "$to/run.sh"
size=$(du -sm "$to" | cut -f1)
tar -C "$(dirname "$to")" -czf "$to.tgz" "$(basename "$to")"
echo "$to: $size MB, $(find "$to/lib" -type f | wc -l) libraries; $to.tgz: $(du -m "$to.tgz" | cut -f1) MB"
[ "$size" -le "$limit" ] || { echo "bundle.sh: more than $limit MB" >&2; exit 1; }
