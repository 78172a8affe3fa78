"""Compiling a program and running the result."""

import ast
import unittest


class TestCompile(unittest.TestCase):
    def test_expression(self):
        code = compile("x * 2 + y", "<script>", "eval")
        self.assertEqual(eval(code, {"x": 20, "y": 2}), 42)

    def test_constant_folding(self):
        code = compile("60 * 60 * 24", "<script>", "eval")
        self.assertIn(86400, code.co_consts)

    def test_round_trip(self):
        source = "def f(x):\n    return x + 1"
        self.assertEqual(ast.unparse(ast.parse(source)), source)
