#!/bin/sh
# Builds the images of Dockerfile and builder/Dockerfile, and runs them, on a Docker engine that is started for this and
# stopped afterwards. As root, installs missing packages; otherwise prints the command for it. TEST_DOCKER_HOST names a
# running engine to use instead.
# usage: test_image.sh FOLDER_OF_PYTHON [arguments of pytest]
set -eu
bin=$1
shift

missing=""
command -v git >/dev/null || missing="$missing git"
command -v ip >/dev/null || missing="$missing iproute2"
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "The tests of the images need more of Debian's packages. Run: sudo apt-get install$missing" >&2
        exit 1
    fi
    echo "Installing$missing"
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing >/dev/null
fi
sh scripts/engines/docker.sh
# The first build of an image fetches everything.
exec "$bin/python" -m pytest tests/image --timeout=1800 "$@"
