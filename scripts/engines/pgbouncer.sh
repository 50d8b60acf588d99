#!/bin/sh
# Debian's pgbouncer and its two libraries, unpacked into a folder: nothing is installed, no service starts.
set -eu
folder="${BUILDSPACE_ENGINES:-$HOME/.cache/buildspace-engines}/pgbouncer"
packages="pgbouncer libevent-2.1-7 libc-ares2"
[ -x "$folder/usr/sbin/pgbouncer" ] && exit 0
echo "Fetching pgbouncer"
rm -rf "$folder.new"
mkdir -p "$folder.new"
cd "$folder.new"
fetch() { apt-get -qq -o APT::Sandbox::User=root download $packages 2>/dev/null; }
if ! fetch; then
    if [ "$(id -u)" != 0 ]; then
        echo "Debian's list of packages is missing or outdated. Run sudo apt-get update, then repeat this command." >&2
        exit 1
    fi
    apt-get -qq update
    fetch
fi
for package in ./*.deb; do
    dpkg -x "$package" .
    rm "$package"
done
rm -rf "$folder"
mv "$folder.new" "$folder"
