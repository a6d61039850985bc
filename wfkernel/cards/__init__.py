"""What those who look at a run are told, wherever they are: a card in this kernel, in another one, a page of the web.

feed.py     one run: a snapshot, then deltas       forks.py    the form for a fork's arguments
desk.py     the threads of those who look
"""
