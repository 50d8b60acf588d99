#!/bin/sh
# What the tests need beside Python: git, OpenSSH, bubblewrap and pasta, Chromium, and the engines. As root, installs missing
# packages; otherwise prints the command for it.
set -eu
missing=""
command -v git >/dev/null || missing="$missing git"
command -v bwrap >/dev/null || missing="$missing bubblewrap"
command -v pasta >/dev/null || missing="$missing passt"
command -v ssh >/dev/null || missing="$missing openssh-client"
[ -x /usr/sbin/sshd ] || missing="$missing openssh-server"
command -v ip >/dev/null || missing="$missing iproute2"
[ -x /usr/bin/chromium ] || missing="$missing chromium"
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "The tests need more of Debian's packages. Run: sudo apt-get install$missing" >&2
        exit 1
    fi
    echo "Installing$missing"
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing >/dev/null
fi
# udev opens it to every account. Without udev builds cannot use it, and isolation "strong" cannot be tested.
tun=/dev/net/tun
if [ -c "$tun" ] && [ "$(stat -c %a "$tun")" != 666 ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "The tests of isolation need $tun. Run: sudo chmod 0666 $tun" >&2
        exit 1
    fi
    echo "Opening $tun to every account"
    chmod 0666 "$tun"
fi
# If an engine cannot be installed, its script says why, and its tests fail.
bring() {
    sh "scripts/engines/$1.sh" || echo "The tests that need $1 will fail." >&2
}
bring kafka
bring clickhouse
bring pgbouncer
bring s3
bring docker >/dev/null
