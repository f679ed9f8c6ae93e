"""Operators: one file per kind with its shapes, iteration space and reference semantics.

A file in this folder that defines `RULE`, a `Rule`, is an operator; packages from outside add
theirs through the entry-point group `inferstack.ops`.
"""
