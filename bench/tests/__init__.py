"""What is measured does the same work: run by `make bench`, as only there the peers are."""
