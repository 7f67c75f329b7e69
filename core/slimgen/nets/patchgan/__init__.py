"""Discriminators that score patches."""
