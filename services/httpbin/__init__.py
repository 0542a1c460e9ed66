"""The PyPI package httpbin, unmodified, under gunicorn."""
