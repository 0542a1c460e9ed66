"""UDP time: the reply to a datagram is the server's `time.ctime()`."""
