"""The only place that says IPython, ipywidgets, matplotlib: magics, widgets, plots, display, kernel.

It shows what the manager says, and decides nothing.
"""
