"""REST: a dispatcher of WSGI applications by method and path."""
