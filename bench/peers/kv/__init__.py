"""What kv is measured beside, and what it stores to."""
