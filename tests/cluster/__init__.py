"""kv on a cluster of etcd: the same contract, and what becomes of it when nodes fail.

And the lesson about that, whose proof needs the same image.

make cluster-test
"""
