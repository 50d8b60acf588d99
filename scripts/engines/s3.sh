#!/bin/sh
# versitygw, an S3 server, for the tests: built once into the engines' cache, where a Go toolchain is. Without one the
# tests have moto, which comes with Python's packages.
set -eu
version=v1.8.0
cache=${BUILDSPACE_ENGINES:-$HOME/.cache/buildspace-engines}
program=$cache/versitygw-$version/versitygw
[ ! -x "$program" ] || exit 0
if ! command -v go >/dev/null; then
    echo "There is no Go toolchain, so S3 is tested with moto alone."
    exit 0
fi

echo "Building versitygw $version into $cache (some minutes, once)"
mkdir -p "$cache"
work=$(mktemp -d "$cache/versitygw.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/whole"
(cd "$work" && GOBIN="$work/whole" go install "github.com/versity/versitygw/cmd/versitygw@$version")
# In one step: a run that is cut off leaves no half of it.
mv "$work/whole" "$(dirname "$program")"
