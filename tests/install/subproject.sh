#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Uses the library as a part of another Meson project: nothing but the library is built, shared and as an archive.
#
# usage: subproject.sh SOURCE SONAME VERSION      (environment: CC, CXX)
set -eu

source=$1 soname=$2 version=$3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset DESTDIR PKG_CONFIG_PATH LD_LIBRARY_PATH

fail() {
    echo "subproject: $*" >&2
    exit 1
}

quietly() { "$@" >"$scratch/log" 2>&1 || { cat "$scratch/log"; fail "failed: $*"; }; }

cp -R "$source/tests/install/subproject" "$scratch/consumer"
ln -s "$source" "$scratch/consumer/subprojects/speculo"

build=$scratch/build
setup() {
    quietly meson setup "$build" "$scratch/consumer" --wrap-mode=forcefallback "-Dexpected=== $version" \
        "-Dsource=$source/tests/install" "$@"
}

# Builds and runs the consumer.
run() { # KIND
    quietly ninja -C "$build"
    for program in subproject-c subproject-cpp; do
        area=speculo-test-$$-$1-$program
        out=$("$build/$program" "$area") || fail "$1: $program ended with status $?: $out"
        [ "$out" = "$version hello" ] || fail "$1: $program printed $out"
    done
}

needs() { LC_ALL=C readelf -d "$build/$1" | grep NEEDED; }

setup -Dspeculo:default_library=shared
run shared
needs subproject-c | grep -qF "[$soname]" || fail "the program is not linked with $soname"
for part in tests examples doc tools; do
    [ ! -d "$build/subprojects/speculo/$part" ] || fail "builds $part too"
done
setup --reconfigure -Dspeculo:default_library=static # the same objects, once more linked
run static
if needs subproject-c | grep -v 'libc\.'; then fail "a program with the archive needs more than libc"; fi
