#!/bin/sh
# Docker's engine from Debian, and the base image of our Dockerfiles, made from Debian's packages without a container
# registry. The base image trusts the authorities that this machine trusts, so that the Dockerfiles need not name any.
set -eu
[ -z "${TEST_DOCKER_HOST:-}" ] || exit 0
missing=""
[ -x /usr/sbin/dockerd ] || missing="$missing docker.io"
[ -x /usr/bin/mmdebstrap ] || missing="$missing mmdebstrap"
[ -x /usr/sbin/iptables ] || missing="$missing iptables"
[ -x /usr/sbin/nft ] || missing="$missing nftables"
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "The tests need more of Debian's packages. Run: sudo apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
    echo "Installing$missing" >&2
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing >/dev/null
fi

authorities=/usr/local/share/ca-certificates
name=$(cat "$authorities"/*.crt 2>/dev/null | sha256sum | cut -c 1-12)
folder="${BUILDSPACE_ENGINES:-$HOME/.cache/buildspace-engines}/docker"
base="$folder/bookworm-$name.tar"
if [ ! -s "$base" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "Only root can make the base image of the tests. Run: sudo sh scripts/engines/docker.sh" >&2
        exit 1
    fi
    echo "Making the base image debian:bookworm-slim" >&2
    mkdir -p "$folder"
    draft="$folder/.draft-$$.tar"
    trap 'rm -f "$draft"' EXIT
    mmdebstrap -q --variant=minbase --include=ca-certificates \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='cp /usr/local/share/ca-certificates/*.crt "$1/usr/local/share/ca-certificates/" 2>/dev/null || :' \
        --customize-hook='chroot "$1" update-ca-certificates >/dev/null 2>&1' \
        bookworm "$draft"
    mv "$draft" "$base"
fi
# The last line is for tests/engines/dockerd.py.
echo "$base"
