"""Where readings become steps: one module for each kind of source, all of them sans-I/O."""
