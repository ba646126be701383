#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Puts Apache Kafka at build/kafka/<version>/: the broker, its own command-line tools, everything they need to run, as jars, from
# Maven Central by coordinates. What of Kafka's releases is not used here (Connect, Streams, MirrorMaker) is left out.
#
#   tools/kafka.sh [VERSION...]    without any: every version the tests run on
#
# Only tests, the demo and `queue: {managed: true}` need it; evcache itself has no use for Java. Needs the packages
# default-jre-headless and maven, which `make kafka` installs. Runs as any user. A version that is there is not fetched again.
set -eu

# The first is the one that is used where nobody says which.
versions_known="3.9.1 4.1.0"
java_min=17
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1
fetch_timeout_s=600

top=$(cd "$(dirname "$0")/.." && pwd)
dir=$top/build/kafka

say() { echo "kafka: $*"; }
die() { echo "kafka: $*" >&2; exit 1; }

# The major version of the Java in PATH, nothing if there is none: openjdk version "17.0.15" → 17.
java_version() { java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1; }

check_tools() {
    have=$(java_version)
    [ -n "$have" ] || die "no java in PATH; run make kafka, or as root: apt-get install default-jre-headless maven"
    [ "$have" -ge "$java_min" ] || die "java in PATH is version $have, $java_min or newer is needed"
    command -v mvn >/dev/null || die "no mvn in PATH; run make kafka, or as root: apt-get install maven"
}

write_pom() {
    cat <<END
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>evcache</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$1</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>$1</version>
      <exclusions>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-runtime</artifactId></exclusion>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-json</artifactId></exclusion>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-api</artifactId></exclusion>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-transforms</artifactId></exclusion>
        <exclusion><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId></exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
END
}

# Moved last, so an interrupted fetch leaves no result behind.
fetch() {
    log=$dir/fetch-$1.log
    new=$dir/$1.new
    rm -rf "$new"
    mkdir -p "$new"
    write_pom "$1" >"$new/pom.xml"
    say "fetching $1 from Maven Central (log: ${log#"$top"/})"
    if ! timeout "$fetch_timeout_s" mvn -B -f "$new/pom.xml" "$plugin:copy-dependencies" -DincludeScope=runtime \
        -DoutputDirectory="$new" >"$log" 2>&1 </dev/null; then
        grep -E '^\[ERROR\]' "$log" | head -n 3 >&2
        die "$1 could not be fetched; is Maven Central reachable? (all output: ${log#"$top"/})"
    fi
    [ -f "$new/kafka_2.13-$1.jar" ] || die "no kafka_2.13-$1.jar among what was fetched: $new"
    rm -rf "${dir:?}/$1"
    mv "$new" "$dir/$1"
    say "$1 at ${dir#"$top"/}/$1, $(du -sm "$dir/$1" | cut -f1) MB"
}

case "${1:-}" in
-*) die "usage: tools/kafka.sh [VERSION...]; tested with $versions_known" ;;
esac
for version in ${*:-$versions_known}; do
    if [ ! -f "$dir/$version/kafka_2.13-$version.jar" ]; then
        check_tools
        fetch "$version"
    fi
done
