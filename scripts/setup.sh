#!/bin/sh
# Makes the virtual environment, with uv if it can be installed, otherwise with pip.
# usage: setup.sh FOLDER [--dev]
set -eu
folder=$1
dev=${2:-}
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    echo "Buildspace needs Python 3.11 or newer; '$python' is not. Set PYTHON=/path/to/python3.11 or newer." >&2
    exit 1
}

[ -e "$folder/run.stamp" ] || echo "Setting up $folder, once."

# Debian has the part of venv that installs pip in a separate package.
if [ ! -x "$folder/bin/pip" ]; then
    rm -rf "$folder"
    if ! "$python" -m venv "$folder" >/dev/null 2>&1; then
        rm -rf "$folder"
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            echo "This Python cannot make virtual environments. On Debian: sudo apt-get install python3-venv" >&2
            exit 1
        fi
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3-venv >/dev/null
        "$python" -m venv "$folder"
    fi
fi

lock=requirements.lock
[ -z "$dev" ] || lock=requirements-dev.lock
if "$folder/bin/pip" install --quiet --disable-pip-version-check uv 2>/dev/null; then
    install="$folder/bin/uv pip install --quiet --python $folder/bin/python"
else
    install="$folder/bin/pip install --quiet --disable-pip-version-check"
fi
$install --require-hashes -r "$lock"
$install --no-deps -e .
