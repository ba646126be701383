#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs what evcache needs to be built, tested and shown, on Debian 12 and 13, as root or with sudo; then puts a memcached and
# Prometheus under build/ (tools/memcached.sh, tools/prometheus.sh). Asks nothing. When everything is there it changes nothing
# and needs neither root nor network.
#
#   tools/deps.sh [--quiet] [--kafka] [--clients] [--bench]
#
# --quiet says nothing when there was nothing to do; --kafka adds what real brokers for tests and the demo need: Java, Maven, and
# Kafka under build/ (tools/kafka.sh); --clients adds the memcached clients of tests/clients and their languages; --bench adds
# what `make bench` compares with, and what draws its pictures: Redis, twemproxy, matplotlib.
set -eu

# To build.
packages="gcc libc6-dev make meson ninja-build pkgconf
    libuv1-dev liblmdb-dev librdkafka-dev libyaml-dev libjansson-dev libmicrohttpd-dev libxxhash-dev libssl-dev libzstd-dev libncurses-dev
    libjs-chart.js"
# To test, format and lint.
packages="$packages g++ clang clang-format clang-tidy libcmocka-dev python3 python3-pytest
    chromium chromium-driver python3-selenium python3-lmdb valgrind"
# To have a memcached: what its source package is fetched and compiled with, what its binary package is linked with.
packages="$packages ca-certificates debian-archive-keyring dpkg-dev libevent-dev libsasl2-2"

top=$(cd "$(dirname "$0")/.." && pwd)
log=$top/build/deps.log

is_quiet=no
want_kafka=no
want_clients=no
want_bench=no
for argument in "$@"; do
    case $argument in
    --quiet) is_quiet=yes ;;
    --kafka) want_kafka=yes ;;
    --clients) want_clients=yes ;;
    --bench) want_bench=yes ;;
    *) echo "usage: tools/deps.sh [--quiet] [--kafka] [--clients] [--bench]" >&2; exit 2 ;;
    esac
done
# To run brokers, and to fetch them.
[ "$want_kafka" = no ] || packages="$packages default-jre-headless maven"
# Clients in many languages. A Go or Node from elsewhere is used as it is.
if [ "$want_clients" = yes ]; then
    packages="$packages libmemcached-tools python3-pymemcache python3-pylibmc libcache-memcached-perl php-cli php-memcached
        default-jdk-headless libspymemcached-java"
    command -v go >/dev/null || packages="$packages golang-go"
    command -v npm >/dev/null || packages="$packages nodejs npm"
fi
[ "$want_bench" = no ] || packages="$packages redis-server redis-tools nutcracker python3-matplotlib"

say() { echo "deps: $*"; }
die() { echo "deps: $*" >&2; exit 1; }

missing_packages() {
    for package in $packages; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

# The command before apt-get: nothing for root, else sudo, tried here where it can still ask for a password.
root_command() {
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null || die "neither root nor sudo; run as root: apt-get install" $missing
    sudo true || die "sudo does not work"
    echo sudo
}

# apt_get ARGUMENT...: output goes to the log. Another apt at work (unattended upgrades, say) is waited for.
apt_get() {
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null
}

apt_update() {
    say "reading the package lists"
    apt_get update || die_with_log "apt-get update failed"
}

apt_install() { apt_get install --no-install-recommends $missing; }

die_with_log() {
    tail -n 20 "$log" >&2
    die "$* (all output: $log)"
}

# lists_know PACKAGE...: the package lists on this machine name all of them.
lists_know() {
    for package in "$@"; do
        apt-cache show "$package" >/dev/null 2>&1 || return 1
    done
}

install_missing() {
    sudo=$(root_command)
    mkdir -p "$top/build"
    : >"$log"
    lists_know $missing || apt_update
    say "installing" $missing "and what they need (log: ${log#"$top"/})"
    # A package list that is too old names files the archive no longer has: one more try with a new one.
    apt_install || { apt_update; apt_install; } || die_with_log "the packages could not be installed"
    missing=$(missing_packages)
    [ -z "$missing" ] || die "still missing:" $missing
}

if ! command -v dpkg-query >/dev/null; then
    say "not a Debian system; these Debian packages' counterparts are needed:" $packages
    exit 0
fi

missing=$(missing_packages)
if [ -n "$missing" ]; then
    install_missing
fi
"$top/tools/memcached.sh"
"$top/tools/prometheus.sh"
[ "$want_kafka" = no ] || "$top/tools/kafka.sh"
if [ -z "$missing" ] && [ "$is_quiet" = no ]; then
    say "everything is installed"
fi
