"""What passes between clients and servers, decoded: no I/O, and nothing is ever run of it.

`record` is what the relay notes of each piece of a stream and of each datagram; the way from there
to a picture goes through these, in this order:

- `conversation`: the records of each connection, in order, as events (`event`); `pieces` for
  streams, `datagrams` for UDP
- `stream`: one direction of a TCP connection, as decoders read it
- the decoders: `http`, `xml_rpc`, `connection` (handshake and frames of
  multiprocessing.connection), `pickle_opcodes` and `text`
- `visible`: text that is safe to show, and how wide it is
- `diagram`: the time-sequence diagram of a conversation, which `ladder` draws for a terminal, and
  `svg` for a page

`timeline` draws how long writes take while a cluster has a leader, and while it has none. `pcapng`
writes records for Wireshark.
"""
