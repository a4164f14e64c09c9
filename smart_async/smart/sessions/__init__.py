"""
What a session is: its identity and stored record, its state while it lives, and the refresh under the lease.

`smart_async.smart.renewal` puts them together.
"""
