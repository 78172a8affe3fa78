"""Arrays of numbers: tensors without torch."""

import math
import unittest
from array import array


class TestArrays(unittest.TestCase):
    def test_sum_is_exact(self):
        self.assertEqual(math.fsum([0.1] * 10), 1.0)

    def test_dot_product(self):
        left, right = array("d", range(1000)), array("d", [2.0] * 1000)
        self.assertEqual(sum(map(float.__mul__, left, right)), 999000.0)

    def test_views_share_memory(self):
        data = array("i", [1, 2, 3])
        memoryview(data)[1] = 7
        self.assertEqual(list(data), [1, 7, 3])

    @unittest.skip("needs CUDA")
    def test_on_a_device(self):
        self.fail("the sample checkout has no device")
