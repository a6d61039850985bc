"""A second process beside the one that holds the journal. It talks to the holder over a socket that only the journal's owner can reach.

    wire.py        frames and messages, limits                          pure: bytes in, messages out
    address.py     where the holder listens, and who may come in        sockets and files
    client.py      one conversation, blocking                           light: the command line loads no more than this
    mux.py         many conversations over one connection, by threads
    operations/    what can be asked: one table, also of the web API    needs a manager
    server.py      answers; lives in the process that holds the journal
    connected.py   a WorkflowManager that uses the file or the socket, whichever it can have

The first four import nothing but the standard library and ``errors``.
"""
