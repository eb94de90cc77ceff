"""The process around the server: its socket, its supervisor, how it leaves."""
