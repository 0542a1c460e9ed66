"""HTTP/1.1 for the three servers under gunicorn: slow clients keep nobody waiting.

protocol.py is one connection without its socket, with request.py and chunks.py for what comes in
and response.py for what goes out; limits.py is the policy for all connections. worker.py has the
sockets, and wsgi.py the threads that run a WSGI application.
"""
