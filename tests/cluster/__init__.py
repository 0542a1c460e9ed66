"""kv on a cluster of etcd: the same contract, and what becomes of it when nodes fail.

make cluster-test
"""
