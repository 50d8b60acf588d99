#!/bin/sh
# ClickHouse for the tests: Debian's server and its libraries, unpacked into a folder of the engines' cache. Nothing is
# installed. Root is needed only if apt's lists are missing; the script then prints the command.
set -eu
cache=${BUILDSPACE_ENGINES:-$HOME/.cache/buildspace-engines}
folder=$cache/clickhouse
[ ! -x "$folder/usr/sbin/clickhouse-server" ] || exit 0

command -v apt-get >/dev/null || {
    echo "ClickHouse for the tests comes from Debian's packages, and there is no apt-get here." \
        "Name a running server in TEST_CLICKHOUSE_HOST." >&2
    exit 1
}
if ! apt-cache show clickhouse-server >/dev/null 2>&1; then
    if [ "$(id -u)" != 0 ]; then
        echo "apt does not know clickhouse-server yet. Run: sudo apt-get update" >&2
        exit 1
    fi
    apt-get -qq update
fi

echo "Fetching ClickHouse into $folder"
mkdir -p "$cache"
work=$(mktemp -d "$cache/clickhouse.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/packages" "$work/whole"
# The server and its dependencies that are not installed on this system.
names=$(apt-get install --simulate --no-install-recommends clickhouse-server | awk '/^Inst /{print $2}')
(cd "$work/packages" && apt-get -qq download clickhouse-server clickhouse-common $names 2>"$work/apt.log") || {
    cat "$work/apt.log" >&2
    exit 1
}
for package in "$work"/packages/*.deb; do
    dpkg -x "$package" "$work/whole"
done
[ -x "$work/whole/usr/sbin/clickhouse-server" ] || {
    echo "Debian's package clickhouse-server does not contain usr/sbin/clickhouse-server." >&2
    exit 1
}
# In one step, so that an interrupted run leaves no partial folder.
rm -rf "$folder"
mv "$work/whole" "$folder"
