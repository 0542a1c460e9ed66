"""The stack of compose.yaml on Docker Swarm, on one machine or several: `make swarm`.

`stack_file` says what becomes of compose.yaml, `options` reads SCALE, PUBLISH and NODES, `nodes` is
an engine and its place in a swarm, `record` what has to be undone, `removal` undoes it, `stack` is
what is deployed; `commands` puts them together.
"""
