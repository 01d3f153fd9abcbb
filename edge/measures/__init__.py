"""Signal performance measures (ATSPM) from high-resolution events, incrementally and in bounded memory.

Pure, and on ``contracts`` alone: the node computes them from its own events, the simulation from its plant's. The
definitions are those of the kept library ``atspm`` 2.6.1, whose answers tests compare row for row; docs/measures.md
says what the numbers mean.
"""
