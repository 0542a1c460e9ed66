"""The command line of the clients: options, the exercise, its table, the comparison of variants."""
