"""Decisions only: no clock, no randomness, no threads, no I/O. Facts in, requests out."""
