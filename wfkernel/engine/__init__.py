"""Time, threads and tasks: carries out what bodies ask for. What to do is decided in ``core``."""
