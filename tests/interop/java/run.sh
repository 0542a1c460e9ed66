# Compiles the programs of this folder, and runs one: sh run.sh CLASS ARGUMENT...
set -e
javac -d /tmp/classes -cp /usr/share/java/axmlrpc.jar "$(dirname "$0")"/*.java
exec java -XX:TieredStopAtLevel=1 -cp /tmp/classes:/usr/share/java/axmlrpc.jar "$@"
