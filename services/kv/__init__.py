"""Key-value store: XML-RPC in front, SQLite behind."""
