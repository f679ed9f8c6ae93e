"""How a contraction and a machine are packed into arrays of integers for the compiled arithmetic.

`q[at.M]` is the extent of m, `p[at.BUS]` the width of the bus, where `at` is this module.
"""

from __future__ import annotations

import numpy as np

PROBLEM = (
    "m",
    "n",
    "k",
    "batch",
    "weight_batch",
    "input_bits",
    "weight_bits",
    "output_bits",
    "partial_sum_bits",
    "weight_transposed",
    "bias_bits",
    "residuals",
    "residual_bits",
    "whole_rows",
    "input_stays",
    "weight_stays",
    "input_again",
    "weight_again",
    "row_reads",
    "row_writes",
)
"""batch: matrix products. weight_batch: how often the weight changes among them. bias_bits: 0
without. residuals: tensors added to the output in the accumulator. whole_rows: 1
where a softmax or LayerNorm on the way out needs n whole. residual_bits: of all residuals
together. input_stays, weight_stays: 1 where the whole operand of a matrix product is loaded at
once and kept; _again: where a tile is loaded at every step. row_reads: bits that come with
each row of an output tile as it leaves (attention context); row_writes: that leave behind a row
(softmax)."""

MACHINE = (
    "block_k",
    "block_n",
    "pass_cycles",
    "fill_cycles",
    "bus_bytes",
    "request_bytes",
    "in_flight",
    "read_latency",
    "write_latency",
    "load_entries",
    "store_entries",
    "block_rows",
    "lanes",
    "port_cycles",
    "statistics_passes",
    "row_overhead",
    "input_limit",
    "weight_limit",
    "output_limit",
    "shared",
    "result_bits",
    "factor_bytes",
)
"""port_cycles: of the accumulator's read port per row of a block that is written.
statistics_passes: reads of the row before that. limits: bytes of one tile generation; where shared
is 1, inputs and weights share input_limit. result_bits: width of a partial sum in the output's
level. factor_bytes: that softmax writes behind each row."""

(M, N, K, BATCH, WEIGHT_BATCH, IN, WEIGHT, OUT, SUM, TRANSPOSED, BIAS, RESIDUALS) = range(12)
RESIDUAL, WHOLE, INPUT_STAYS, WEIGHT_STAYS, INPUT_AGAIN, WEIGHT_AGAIN = range(12, 18)
ROW_READS, ROW_WRITES = range(18, 20)
(BK, BN, PASS, FILL, BUS, REQUEST, FLIGHT, READ, WRITE, LOADS, STORES, ROWS) = range(12)
(LANES, PORT, STATISTICS, OVERHEAD, LIMIT_IN, LIMIT_WEIGHT, LIMIT_OUT, SHARED, RESULT) = range(
    12, 21
)
FACTORS = 21


ORDERS = ("mnk", "mkn", "nmk", "nkm", "kmn", "knm")
ORDER_DIMS = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
"""ORDERS as indices into (m, n, k), outermost first."""
