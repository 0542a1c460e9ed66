"""The lessons: what they ask for is possible, what they call wrong is found, what they say is true.

make test TESTS=tests/workshop             # all of it
make test TESTS="tests/workshop -k 04-"    # one lesson
make test TESTS="tests/workshop --busy"    # with all cores busy
"""
