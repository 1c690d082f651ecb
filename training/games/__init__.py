"""Games by their players; a variant of the catalogue chooses networks, divergence and terms for one of them."""
