"""HTTP/1.1 for the servers under gunicorn: protocol.py is one connection, without its socket."""
