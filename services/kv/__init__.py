"""Key-value store: XML-RPC in front, SQLite or etcd behind."""
