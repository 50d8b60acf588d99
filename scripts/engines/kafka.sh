#!/bin/sh
# Apache Kafka for the tests: a Java runtime, and the broker's jars in a folder of the engines' cache. As root, installs
# missing packages; otherwise prints the command for it.
set -eu
version=4.4.0
cache=${BUILDSPACE_ENGINES:-$HOME/.cache/buildspace-engines}
folder=$cache/kafka-$version
ivy=/usr/share/java/ivy.jar

missing=""
command -v java >/dev/null || missing="openjdk-17-jre-headless"
if [ ! -d "$folder" ] && ! command -v mvn >/dev/null && [ ! -e "$ivy" ]; then
    missing="$missing ivy"
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "The tests with Kafka need more of Debian's packages. Run: sudo apt-get install" $missing >&2
        exit 1
    fi
    echo "Installing" $missing
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing >/dev/null
fi
[ ! -d "$folder" ] || exit 0

echo "Fetching Apache Kafka $version into $folder"
mkdir -p "$cache"
work=$(mktemp -d "$cache/kafka.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/libs"
if command -v mvn >/dev/null; then
    cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>buildspace</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
    (cd "$work" && mvn -q -B -Dstyle.color=never dependency:copy-dependencies -DoutputDirectory=libs)
else
    for module in "org.apache.kafka kafka_2.13 $version" "org.slf4j slf4j-simple 1.7.36"; do
        java -jar "$ivy" -warn -cache "$work/ivy" -confs default -dependency $module \
            -retrieve "$work/libs/[artifact]-[revision](-[classifier]).[ext]" >"$work/ivy.log" 2>&1 || {
            cat "$work/ivy.log" >&2
            exit 1
        }
    done
fi
[ -e "$work/libs/kafka_2.13-$version.jar" ] || {
    echo "The jars of Apache Kafka $version could not be fetched. Check that this machine reaches Maven Central." >&2
    exit 1
}
# In one step, so that an interrupted run leaves no partial folder.
mkdir "$work/whole"
mv "$work/libs" "$work/whole/libs"
mv "$work/whole" "$folder"
