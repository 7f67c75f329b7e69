"""Predicted latency: a table of measured pieces, fitted to whole networks and checked against others."""
