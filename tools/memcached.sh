#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Puts a memcached that knows the meta flag E (1.6.27 or newer) at build/memcached/memcached. The first that is new enough wins:
#
#   1. the memcached installed on this system: a link to it;
#   2. the one in this system's package archive (Debian 13): unpacked under build/, not installed, because the installed
#      package starts a service on port 11211 at every boot;
#   3. Debian 13's source package, compiled with its proxy and TLS (Debian 12).
#
# Runs as any user. Nothing of the system changes: downloads go through an apt configuration of its own under
# build/memcached/apt, which takes mirror, proxy and certificates from the system's. The second run finds the result and does nothing.
set -eu

version_min=1.6.27
source_release=trixie

top=$(cd "$(dirname "$0")/.." && pwd)
dir=$top/build/memcached
result=$dir/memcached
log=$dir/build.log

say() { echo "memcached: $*"; }
die() { echo "memcached: $*" >&2; exit 1; }

# version_of BINARY: prints the version, nothing if the binary does not run.
version_of() { "$1" -V 2>/dev/null | awk '$1 == "memcached" {print $2}'; }

new_enough() { [ -n "$1" ] && dpkg --compare-versions "$1" ge "$version_min"; }

# logged COMMAND...: its output goes to the log, of which the end is shown when the command fails.
logged() {
    "$@" >>"$log" 2>&1 </dev/null && return
    tail -n 20 "$log" >&2
    die "failed: $* (all output: $log)"
}

# The archive this Debian system itself was installed from.
mirror_uri() {
    . /etc/os-release
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v own="${VERSION_CODENAME:-}" '$3 == "main" && ($2 == own || $2 ~ /^(old)?stable$/) {print $1; exit}'
}

# The system's settings are read first (/etc/apt/apt.conf.d), then this file, so what is named here is ours alone.
write_private_apt() {
    uri=$(mirror_uri)
    [ -n "$uri" ] || die "no Debian archive found in /etc/apt/sources.list or /etc/apt/sources.list.d"
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -r "$keyring" ] || die "$keyring is missing: install the package debian-archive-keyring"
    mkdir -p "$dir/apt/state/lists/partial" "$dir/apt/cache/archives/partial"
    echo "deb-src [signed-by=$keyring] $uri $source_release main" >"$dir/apt/sources.list"
    cat >"$dir/apt/apt.conf" <<END
Dir::Etc::SourceList "$dir/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "$dir/apt/state";
Dir::State::Lists "$dir/apt/state/lists";
Dir::Cache "$dir/apt/cache";
Dir::Cache::PkgCache "";
Dir::Cache::SrcPkgCache "";
Acquire::Languages "none";
APT::Sandbox::User "root";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
}

unpack_from_archive() {
    say "unpacking $1 of this system's archive"
    rm -rf "$dir/package" && mkdir -p "$dir/package"
    cd "$dir/package"
    logged apt-get -o APT::Sandbox::User=root download memcached
    logged dpkg-deb -x memcached_*.deb .
    ln -sf package/usr/bin/memcached "$result"
}

build_from_source() {
    write_private_apt
    say "fetching Debian's source package ($source_release)"
    rm -rf "$dir/source" && mkdir -p "$dir/source"
    cd "$dir/source"
    logged apt-get -c "$dir/apt/apt.conf" update
    logged apt-get -c "$dir/apt/apt.conf" source --only-source memcached
    cd memcached-*/
    say "compiling ${PWD##*/} with its proxy and TLS (log: ${log#"$top"/})"
    logged ./configure --enable-proxy --enable-tls
    logged make -j"$(nproc)"
    # Moved last, so an interrupted build leaves no result behind.
    cp memcached "$result.new" && mv -f "$result.new" "$result"
}

if new_enough "$(version_of "$result")"; then
    exit 0
fi

mkdir -p "$dir"
: >"$log"
rm -f "$result"
installed=$(command -v memcached || true)
candidate=$(apt-cache policy memcached 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" {print $2}')
if [ -n "$installed" ] && new_enough "$(version_of "$installed")"; then
    ln -sf "$installed" "$result"
elif new_enough "${candidate%-*}"; then
    unpack_from_archive "$candidate"
else
    build_from_source
fi

version=$(version_of "$result")
new_enough "$version" || die "$result reports version '$version', $version_min or newer is needed"
say "$version at ${result#"$top"/}"
