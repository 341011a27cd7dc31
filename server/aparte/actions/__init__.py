"""Every verb that a person can do: access, gate, store, publish.

`door.py` says who may reach a conversation; the other files hold verbs by noun. Must not know the web framework.
"""
