"""Page that tries generators in a browser: its files, the runtime that they need, and a server for one machine."""
