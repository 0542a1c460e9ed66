"""What tests share: servers and clients to run, and how long to wait for them."""
