"""Common subexpressions. Replaces the tests of this folder that the sample does not have."""

import unittest


def unique_products(pairs):
    seen = {}
    return [seen.setdefault(pair, len(seen)) for pair in pairs]


class TestCommonSubexpressions(unittest.TestCase):
    def test_each_is_computed_once(self):
        self.assertEqual(unique_products([("a", "b"), ("b", "c"), ("a", "b")]), [0, 1, 0])
