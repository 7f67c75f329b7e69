"""Report of a run: picture grids, charts, drawings of architectures, tables and a self-contained page."""
