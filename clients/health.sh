#!/bin/sh
# What the engine runs as a server's health check: the exchange of health.py, every few seconds
# until one succeeds, and then at longer intervals. An engine has one interval only before
# version 25 (`start_interval`): short ones keep a CPU busy with starting Pythons for ever, and
# with a long one nothing is known to be healthy before its end.
if [ -e /tmp/healthy ]; then
    sleep 25
fi
if python -m clients.health "$1"; then
    : > /tmp/healthy
else
    rm -f /tmp/healthy
    exit 1
fi
