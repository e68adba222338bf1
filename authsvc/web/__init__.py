"""HTTP: parse at the door, call one flow, answer. `routes.py` shows all of it on one screen."""
