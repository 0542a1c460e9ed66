"""Data of tests: tables of what is sent, with what is right."""
