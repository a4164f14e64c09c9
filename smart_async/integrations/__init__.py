"""What fits the library into a web application: `jwks`, an ASGI app that publishes a client's keys."""
