"""A pytest plugin for projects of `docker compose`, wirelab's own and any other.

`plugin` has the fixtures and options, `service` a service and what can happen to it, `lifetime`
the start and the end of a stack, `sharing` one stack for several processes of pytest. They know
nothing of wirelab's servers, and need pytest, Docker's SDK and nothing else. `network` is for
stacks that have the relay among their services. docs/testing.md is the manual.
"""
