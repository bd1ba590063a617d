# SPDX-License-Identifier: LGPL-2.1-or-later
# Functions that the scripts share. To be sourced by bash:
#     . "$(dirname "$0")/lib.sh"
# Messages go to standard error, so that a script's own output stays its own.

# The checkout that the running script belongs to.
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

note() { printf '== %s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Where a build called $1 lives: a folder that git ignores. SPECULO_BUILD_ROOT moves all of them elsewhere.
build_dir() { printf '%s/%s\n' "${SPECULO_BUILD_ROOT:-$top/build}" "$1"; }

# Whether a Debian package is there.
is_installed() { [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Runs a command as root: directly, or through sudo without asking for a password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

# install_missing PACKAGE...: installs what is not there yet. Without a network it does nothing when nothing is missing.
install_missing() {
    local package missing=()
    command -v dpkg-query >/dev/null || {
        note "not a Debian system: make sure that you have $*"
        return 0
    }
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0

    if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
        die "not root, and sudo asks for a password. Please install first: apt-get install ${missing[*]}"
    fi
    note "installing ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes \
        --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "could not install ${missing[*]}"
    fi
    rm -f "$log"
}
