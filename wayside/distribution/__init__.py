"""What ``make dist`` makes: wheel, source, Debian packages and the hub's image, with their parts listed and their sums.

The same commit gives the same bytes: times are the commit's, names are sorted, modes are fixed.
"""
