"""Every page in every state, of made-up views: to be looked at (`python -m tests.pages`) and tested."""
