"""One file for each endpoint, or for each family of them."""
