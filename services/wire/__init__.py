"""What passes between clients and servers, decoded: no I/O, and nothing is ever run of it.

`record` is what the relay notes of each piece of a stream and of each datagram. The decoders turn
those into what the protocols say: `http`, `xml_rpc`, `connection` (handshake and frames of
multiprocessing.connection), `pickle_opcodes` and `text`. `conversation` puts them in order, and
`diagram` draws them, for a terminal and as SVG. `pcapng` writes them for Wireshark.
"""
