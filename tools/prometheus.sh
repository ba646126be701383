#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Puts Prometheus's programs at build/prometheus/{prometheus,promtool}, for the tests of metrics and alert rules. Links to the
# installed ones where the package is installed; else unpacks the package of this system's archive under build/, not installed,
# because the installed package starts a service. Runs as any user; the second run finds the result and does nothing.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
dir=$top/build/prometheus
log=$dir/build.log

say() { echo "prometheus: $*"; }

# logged COMMAND...: its output goes to the log, of which the end is shown when the command fails.
logged() {
    "$@" >>"$log" 2>&1 </dev/null && return
    tail -n 20 "$log" >&2
    echo "prometheus: failed: $* (all output: $log)" >&2
    exit 1
}

runs() { "$dir/promtool" --version >/dev/null 2>&1 && "$dir/prometheus" --version >/dev/null 2>&1; }

if runs; then
    exit 0
fi
rm -rf "$dir" && mkdir -p "$dir/package"
: >"$log"
if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    ln -sf "$(command -v prometheus)" "$(command -v promtool)" "$dir"
else
    say "unpacking prometheus of this system's archive"
    cd "$dir/package"
    packages=prometheus
    # Debian 13 has promtool in a package of its own.
    apt-cache show promtool >/dev/null 2>&1 && packages="$packages promtool"
    logged apt-get -o APT::Sandbox::User=root download $packages
    for package in *.deb; do
        logged dpkg-deb -x "$package" .
    done
    rm -f ./*.deb
    ln -sf package/usr/bin/prometheus package/usr/bin/promtool "$dir"
fi
logged runs
say "$("$dir/promtool" --version 2>&1 | awk 'NR == 1 {print $3}') at ${dir#"$top"/}"
