"""What people look at: grids of pictures, charts, drawings of architectures, tables and a report that stands alone."""
