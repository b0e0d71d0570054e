"""The HTTP interface: wire formats, routes, and errors as status codes."""
