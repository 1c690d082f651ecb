"""Offers models over HTTP: strings for requests.

The only package that knows FastAPI.  It needs ``model`` and neither ``training`` nor torch.
"""
