"""The socket of a time server: a reply comes from the address that the request was sent to.

A socket that is bound to a wildcard address, 0.0.0.0 or `::`, receives what is sent to any address
of this machine. As the source of what it sends, the kernel takes the address of the interface that
leads to the peer, and that may be another one than the peer has sent its request to. A client with
a connected socket, or a firewall on the way, then drops the reply. So the source of a reply has to
be the address that was asked (RFC 1122, 4.1.3.5).

recvmsg() tells which one that was: the kernel adds it to each datagram as ancillary data, if the
socket has IP_PKTINFO (ip(7)) or IPV6_RECVPKTINFO (ipv6(7)). Passed back to sendmsg(), it is the
source. That takes a third more CPU time than recvfrom() and sendto(), and a socket bound to one
address has no other: so only sockets on a wildcard address do it.
"""

import socket
from typing import Any

from services import listeners, runtime

WILDCARDS = ("0.0.0.0", "::", "::ffff:0.0.0.0")
IP_PKTINFO = 8  # linux/in.h; the module socket has it from Python 3.12 on
MULTICAST = 0xFF  # the first byte of such an IPv6 address (RFC 4291, 2.4)
LINK_LOCAL = 0xFE, 0x80  # the first 10 bits of an address that is of one link (2.5.6)
ANCILLARY = socket.CMSG_SPACE(12) + socket.CMSG_SPACE(20)  # bytes: struct in_pktinfo, in6_pktinfo


def udp_socket(address: runtime.Address, *, shared: bool = False) -> socket.socket:
    """Return a UDP socket that is bound; raises OSError. It is `shared` by SO_REUSEPORT."""
    family, where = listeners.resolve(address)
    kind = WildcardSocket if where[0] in WILDCARDS else socket.socket
    server = kind(family, socket.SOCK_DGRAM)
    try:
        if shared:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(where)
    except BaseException:
        server.close()
        raise
    return server


def udp_group(address: runtime.Address, count: int) -> list[socket.socket]:
    """Bind `count` UDP sockets to a port, among which the kernel distributes the datagrams."""
    udp_socket(address).close()  # fails if another server has the port; see listeners.tcp_group()
    first = udp_socket(address, shared=True)
    bound = first.getsockname()  # port 0 has become a number
    return [first, *(udp_socket(bound, shared=True) for _ in range(count - 1))]


class WildcardSocket(socket.socket):
    """A UDP socket on a wildcard address, whose sendto() replies to what recvfrom() returned."""

    def __init__(self, family: int, kind: int) -> None:
        super().__init__(family, kind)
        # A socket on `::` has IPv4 peers too, and they are what this is for there.
        self.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        if family == socket.AF_INET6:
            self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, tuple[Any, ...]]:
        """Receive a datagram; return also its sender's address, and after that the one asked.

        So a sender that asks at two addresses is two peers, as it would be for two sockets.
        """
        data, ancillary, _, sender = self.recvmsg(bufsize, ANCILLARY, flags)
        # The index of the interface becomes 0, since it is for the routes to say how to get there.
        # If an IPv4 datagram has both, the one of IPv4 is the last, and right for broadcasts too.
        level, kind, info = ancillary[-1]
        if level == socket.IPPROTO_IP:  # struct in_pktinfo: index, local address, destination
            asked = bytes(4) + info[4:8] + bytes(4)
        else:  # struct in6_pktinfo: destination, index
            # A multicast address is no source (RFC 4291, 2.7): then the kernel chooses one, for 0.
            # A link-local one is that of an interface, and none without it.
            if info[0] == MULTICAST:
                asked = bytes(20)
            elif (info[0], info[1] & 0xC0) == LINK_LOCAL:
                asked = info
            else:
                asked = info[:16] + bytes(4)
        return data, (*sender, (level, kind, asked))

    def sendto(self, data: bytes, peer: tuple[Any, ...], /) -> int:  # type: ignore[override]
        """Send a datagram to what recvfrom() returned, from the address that was asked there."""
        return self.sendmsg([data], peer[-1:], 0, peer[:-1])
