"""The legacy executor: interprets the syntax tree instead of compiling it."""

import ast
import operator
import unittest

OPERATORS = {ast.Add: operator.add, ast.Mult: operator.mul, ast.Sub: operator.sub}


def interpret(node, names):
    if isinstance(node, ast.Expression):
        return interpret(node.body, names)
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](interpret(node.left, names), interpret(node.right, names))
    return names[node.id] if isinstance(node, ast.Name) else node.value


class TestInterpreter(unittest.TestCase):
    def test_agrees_with_the_compiler(self):
        for source in ("1 + 2 * x", "(x - 1) * (x + 1)", "x"):
            tree = ast.parse(source, mode="eval")
            self.assertEqual(interpret(tree, {"x": 9}), eval(source, {"x": 9}))

    def test_unknown_name(self):
        with self.assertRaises(KeyError):
            interpret(ast.parse("y", mode="eval"), {})
