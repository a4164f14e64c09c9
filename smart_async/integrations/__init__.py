"""
What fits the library into a web application.

- `jwks`: an ASGI app that publishes a client's keys; it needs no framework;
- `starlette`: signs users in, in Starlette and FastAPI apps; needs `pip install "smart-async[starlette]"`.
"""
