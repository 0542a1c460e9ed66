"""The clients: a module per service, used by the command line, the health checks and the tests."""
