"""
The pages for people: launcher, sign-in, patient picker, consent, inspector.

Plain HTML made on the server, which works without scripts. Everything that an app, a server or a user has
said is text on them: templates escape by themselves, and the policy of each page lets nothing in it run.
"""

from smart_async.sandbox.pages.render import Renderer
from smart_async.sandbox.pages.routes import page_routes

__all__ = ("Renderer", "page_routes")
