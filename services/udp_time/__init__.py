"""UDP time: each datagram is answered with the server's `time.ctime()`."""
