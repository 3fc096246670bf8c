# build.sh: what run, tests/run and bench/run share: the packages, and how a tree is built. Sourced, with $root set.
# Plain POSIX sh.

# The one list of packages. Names are the same in Debian 12 and 13.
packages_to_build='build-essential cmake ninja-build pkgconf
    libck-dev libcjson-dev libcurl4-openssl-dev libmd-dev libbsd-dev libsqlite3-dev libxxhash-dev
    libcmocka-dev
    systemtap-sdt-dev'
packages_to_test='clang clang-format clang-tidy python3'
# Other software that bench/run measures beside ours. Nothing needs it.
packages_to_measure='libzmq3-dev libtbb-dev redis-server nats-server'

say() {
    printf '%s\n' "$*" >&2
}

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

# find_missing NAME...: sets $missing to those that are not installed.
find_missing() {
    missing=
    if ! command -v dpkg-query >/dev/null; then
        say "This is not Debian; going on without looking for: $*"
        return
    fi
    installed=$(dpkg-query -W -f '${db:Status-Status}:${Package} ' "$@" 2>/dev/null) || :
    for package in "$@"; do
        case " $installed" in
        *" installed:$package "*) ;;
        *) missing="$missing $package" ;;
        esac
    done
}

# install_packages NAME...: installs those that are missing; asks for root only then.
install_packages() {
    find_missing "$@"
    [ -n "$missing" ] || return 0

    as_root='env DEBIAN_FRONTEND=noninteractive'
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "Missing packages; as root: apt-get install$missing"
        as_root="sudo $as_root"
    fi
    say "Installing what is missing:$missing"
    $as_root apt-get update >&2 </dev/null || say "apt-get update failed; trying with the lists that are there."
    # --no-remove: rather fail than take away something that the user has chosen.
    $as_root apt-get install --yes --no-install-recommends --no-remove $missing >&2 </dev/null ||
        die "apt-get could not install:$missing"
}

# install_peers NAME...: the same, but goes on without one that cannot be had. A tree that was configured before looks
# again for what is new.
install_peers() {
    find_missing "$@"
    [ -n "$missing" ] || return 0
    before=$missing
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    (
        # Debian starts a server when it installs it, unless this file forbids that.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then
            trap '$as_root rm -f $policy' EXIT
            trap 'exit 1' INT TERM
            printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null && $as_root chmod 755 $policy
        fi
        for package in $missing; do
            (install_packages "$package") || say "Going on without $package."
        done
    ) || :
    find_missing "$@"
    [ "$missing" = "$before" ] || rm -f "$root/build/release/build.ninja"
}

# is_configured TREE: by these presets, and for this place (the whole tree may have been moved).
is_configured() {
    [ -e "$1/build.ninja" ] && [ -z "$(find "$root/CMakePresets.json" -newer "$1/build.ninja")" ] &&
        grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$1/CMakeCache.txt"
}

# build PRESET [TARGET...]: configures build/PRESET if that is needed and builds it; silent when nothing has changed.
build() {
    preset=$1
    shift
    tree=$root/build/$preset
    if is_configured "$tree"; then
        words=$(cmake --build "$tree" ${1:+--target "$@"} -- --quiet 2>&1) || die "$words" "build/$preset did not build"
        return
    fi
    say "Configuring build/$preset"
    words=$(cd "$root" && cmake --fresh --preset "$preset" 2>&1) ||
        die "$words" "cmake could not configure build/$preset"
    say "Building build/$preset"
    cmake --build "$tree" ${1:+--target "$@"} >&2 || die "build/$preset did not build"
}

mkdir -p "$root/build"
