#!/bin/sh
# Installs those of the named Debian/Ubuntu packages that are missing, as root or through
# sudo; says what it installs and asks nothing. Does nothing when all are there.
set -eu
missing=
for name in "$@"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $name"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "sea: these packages are missing and there is no apt-get to install them:$missing" >&2
    exit 69
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "sea: these packages are missing:$missing" >&2
        echo "  hint: run 'apt-get install$missing' as root, then repeat." >&2
        exit 69
    fi
    as_root=sudo
fi
echo "sea: installing$missing"
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
