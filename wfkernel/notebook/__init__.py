"""The only place that says IPython, ipywidgets, matplotlib: magics, widgets, plots, display, kernel. It shows; it decides nothing."""
