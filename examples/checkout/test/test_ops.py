"""Operators, compared with their definitions."""

import operator
import unittest


class TestOperators(unittest.TestCase):
    def test_shift_is_multiplication(self):
        for number in range(64):
            self.assertEqual(operator.lshift(1, number), 2**number)

    def test_divmod_fits_together(self):
        for a in range(-20, 20):
            for b in (-3, -1, 2, 5):
                q, r = divmod(a, b)
                self.assertEqual(q * b + r, a)
