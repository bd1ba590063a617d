#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs the build into an empty folder, all of it and in a distribution's two parts, and then uses it as a program outside the
# project does: C and C++, through pkg-config and CMake's config file, shared and static.
#
# usage: install.sh BUILD SOURCE PREFIX MANDIR SONAME VERSION PYTHON [CMAKE]      (environment: CC, CXX, PKG_CONFIG)
set -eu

build=$1 source=$2 prefix=$3 mandir=$4 soname=$5 version=$6 python=$7 cmake=${8:-}
here=$source/tests/install
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset DESTDIR PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR LD_LIBRARY_PATH

fail() {
    echo "install: $*" >&2
    exit 1
}

# install_into FOLDER [OPTION...]
install_into() {
    folder=$1
    shift
    meson install -C "$build" --no-rebuild --destdir "$folder" "$@" >"$folder.log" 2>&1 || { cat "$folder.log"; fail "failed"; }
}

# What is in a folder: names of files and links, one a line, without the folders they are in.
names_in() { find "$1" ! -type d -printf '%f\n' | LC_ALL=C sort; }

# expect_names WHAT FOLDER NAME...
expect_names() {
    what=$1 folder=$2
    shift 2
    printf '%s\n' "$@" | LC_ALL=C sort >"$scratch/expected"
    names_in "$folder" >"$scratch/found"
    diff -u "$scratch/expected" "$scratch/found" || fail "$what: not the files expected"
}

# ---- the parts of a distribution's split ---------------------------------------------------------------------------------------
runtime="$soname libspeculo.so.$version"
devel="libspeculo.a libspeculo.so speculo.h speculo.hpp speculo.pc speculoConfig.cmake speculoConfigVersion.cmake"
install_into "$scratch/all"
install_into "$scratch/runtime" --tags runtime
install_into "$scratch/devel" --tags devel
# What the option doc has built, if anything.
mkdir "$scratch/man" "$scratch/doc" "$scratch/tools"
install_into "$scratch/man" --tags man
install_into "$scratch/doc" --tags doc
install_into "$scratch/tools" --tags tools
# shellcheck disable=SC2046,SC2086 # lists of words
{
    expect_names "runtime" "$scratch/runtime" $runtime
    expect_names "devel" "$scratch/devel" $devel
    expect_names "all" "$scratch/all" $runtime $devel $(names_in "$scratch/man") $(names_in "$scratch/doc") \
        $(names_in "$scratch/tools")
}
for page in $(names_in "$scratch/man"); do
    [ -s "$scratch/man$prefix/$mandir/man${page##*.}/$page" ] || fail "$page: not in the folder of its section"
done

# The command has its manual pages with it, one for each subcommand, and runs from where it is installed.
if [ -n "$(names_in "$scratch/tools")" ]; then
    command=$(find "$scratch/all" -path '*/bin/speculo')
    for name in $(LD_LIBRARY_PATH=$(dirname "$(find "$scratch/all" -name libspeculo.so)") "$command" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
        [ -s "$scratch/tools$prefix/$mandir/man1/speculo-$name.1" ] || fail "speculo-$name.1: not installed"
    done
fi

# ---- programs outside the project ----------------------------------------------------------------------------------------------
# Where the files really are: the prefix inside the folder. Everything else in the .pc file is relative to it.
root=$scratch/all$prefix
pc=$(find "$root" -name speculo.pc)
libraries=$(dirname "$(find "$root" -name libspeculo.so)")
sed -i "s|^prefix=.*|prefix=$root|" "$pc"
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
pkg() { "$PKG_CONFIG" "$@" speculo; }

[ "$(pkg --modversion)" = "$version" ] || fail "pkg-config says version $(pkg --modversion)"
case " $(pkg --libs) " in *" -pthread "* | *stdc++*) fail "a shared link asks for too much: $(pkg --libs)" ;; esac

# Not every distribution has one.
has_static_libc() {
    echo 'int main(void) { return 0; }' >"$scratch/empty.c"
    # shellcheck disable=SC2086
    $CC -static "$scratch/empty.c" -o "$scratch/empty" 2>/dev/null
}

# run KIND: that program shares a chunk and prints the version and the chunk.
run() {
    area=speculo-test-$$-$1
    out=$(LD_LIBRARY_PATH=$libraries "$scratch/$1" "$area") || fail "$1: status $?, $out"
    [ "$out" = "$version hello" ] || fail "$1: printed $out"
    echo "$1: ok"
}

# shellcheck disable=SC2046,SC2086 # flags and compilers are lists of words
{
    $CC -std=c99 -Wall -Wextra -Werror $(pkg --cflags) "$here/consumer.c" -o "$scratch/c-shared" $(pkg --libs)
    $CXX -std=c++17 -Wall -Wextra -Werror $(pkg --cflags) "$here/consumer.cpp" -o "$scratch/cpp-shared" $(pkg --libs)
    # Without the shared library in sight, -lspeculo means the archive.
    mkdir "$scratch/hidden"
    mv "$libraries"/libspeculo.so* "$scratch/hidden"
    $CC -std=c99 $(pkg --cflags) "$here/consumer.c" -o "$scratch/c-archive" $(pkg --static --libs)
    $CXX -std=c++17 $(pkg --cflags) "$here/consumer.cpp" -o "$scratch/cpp-archive" $(pkg --static --libs)
    if has_static_libc; then
        $CC -std=c99 -static $(pkg --static --cflags) "$here/consumer.c" -o "$scratch/c-static" $(pkg --static --libs)
    fi
    mv "$scratch/hidden"/* "$libraries"
}
for kind in c-shared cpp-shared c-archive cpp-archive c-static; do
    [ ! -e "$scratch/$kind" ] || run "$kind"
done

if LC_ALL=C readelf -d "$scratch/c-archive" | grep NEEDED | grep -v 'libc\.'; then
    fail "a C program with the archive needs more than libc"
fi

# ---- a project that is built by CMake ------------------------------------------------------------------------------------------
# The prefix is not the one that was configured, and a symbolic link leads to the config file.
if [ -n "$cmake" ]; then
    ln -s "$libraries/cmake/speculo" "$scratch/speculo"
    quietly() { "$@" >"$scratch/cmake.log" 2>&1 || { cat "$scratch/cmake.log"; fail "failed: $*"; }; }
    quietly "$cmake" -G Ninja -S "$here/cmake" -B "$scratch/cmake" "-DVERSION=$version" "-Dspeculo_ROOT=$scratch/speculo"
    quietly "$cmake" --build "$scratch/cmake"
    for kind in c cpp archive pkg-config; do
        mv "$scratch/cmake/cmake-$kind" "$scratch"
        run "cmake-$kind"
    done
fi

# ---- the programs of README.md and doc/ --------------------------------------------------------------------------------------------
if [ -e "$source/README.md" ]; then
    "$python" -B "$here/doc_examples.py" "$root" "$source" || fail "the documentation does not keep its word"
fi
