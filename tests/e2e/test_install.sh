#!/bin/bash
# What is installed runs from anywhere, and the reference pages are what the program prints.
. "$(dirname "$0")/lib.sh"

check_page() {                  # page, word of `sea config`
    local out
    if out=$(diff <("$sea" config "$2") "docs/$1" 2>&1); then
        ok "docs/$1 is what \`sea config $2\` prints"
    else
        bad "docs/$1 is what \`sea config $2\` prints" \
            'mend with: build/sea config %s > docs/%s\n%s\n' "$2" "$1" "$out"
    fi
}
check_page config.md doc
check_page errors.md errors

# -o all: the program under test is installed as it is, nothing is built again.
run make -s -o all -o "$sea" install "BUILD=$SEA_BUILD" "DESTDIR=$work/root" PREFIX=/usr
check_rc "make install" 0
installed=$work/root/usr/bin/sea
# The CUDA plugin comes along where the toolkit is installed.
check_equal "one program is installed" usr/bin/sea \
    "$(cd "$work/root" && find . -type f ! -path ./usr/lib/sea/libsea_cuda.so | cut -c3-)"
mkdir "$work/elsewhere"
cd "$work/elsewhere" || exit 1
run "$installed" --version
check_equal "it tells its version" "$("$sea" --version)" "$out"
run "$installed" config doc
check_equal "it needs no file of the source tree" "$("$sea" config doc)" "$out"
run "$installed" data scenes --out data --train 12 --eval 8 --kinds 12
check_rc "it makes data below the current folder" 0
check_file "there" data/train/pretrain.json
run "$installed" up --workers 1 --device cpu:1 --data service
services+=("$work/elsewhere/service")
check_rc "it starts a service below the current folder" 0
run "$installed" status --data service
check_rc "which answers" 0
run "$installed" down --data service
check_rc "and stops" 0
cd "$SEA_ROOT" || exit 1

# Every link of the documents leads somewhere.
broken=$(for page in README.md docs/*.md; do
    grep -oE '\]\([^)#:]+' "$page" | cut -c3- | while read -r to; do
        [ -e "$(dirname "$page")/$to" ] || echo "$page: $to"
    done
done)
check_equal "links in README.md and docs/ lead to files" "" "$broken"
# Commands that the documents show are there.
known=$("$sea" --help | sed -nE 's/^  sea ([a-z]+) .*/\1/p')
unknown=$(cat README.md docs/*.md | grep -oE '(`|build/)sea [a-z]+' | sed 's/.*sea //' | sort -u |
    grep -vxF "$known")
check_equal "commands in README.md and docs/ are commands" "" "$unknown"

finish test_install
