"""The lessons: what they ask for is possible, what they call wrong is found, what they say is true.

The one that needs a cluster of etcd is proved in the same way by tests/cluster.

make test TESTS=tests/workshop             # all of it
make test TESTS="tests/workshop -k 04-"    # one lesson
make test TESTS="tests/workshop/test_lessons.py --busy"      # with all cores busy
make test TESTS="tests/workshop -k solutions --times 20"     # each solution, 20 times
make test TESTS="tests/workshop --matrix build/matrix.md"    # what each wrong file is told
"""
