"""The servers: a folder each, named as the compose service (`tcp_echo` is `tcp-echo`)."""
