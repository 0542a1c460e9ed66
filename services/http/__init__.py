"""HTTP/1.1 for the three servers under gunicorn: one thread hears everybody, and none is held up.

session.py has the protocol without sockets, chunks.py the bodies that come in chunks, worker.py the
sockets without the protocol, and wsgi.py the threads that run a WSGI application.
"""
