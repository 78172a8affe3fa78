"""The legacy fuser: two passes over the data become one."""

import unittest


def fuse(first, second):
    return lambda values: [second(first(value)) for value in values]


class TestFuser(unittest.TestCase):
    def test_fused_is_the_same(self):
        data = range(100)
        two_passes = [value + 1 for value in [value * value for value in data]]
        self.assertEqual(fuse(lambda v: v * v, lambda v: v + 1)(data), two_passes)
