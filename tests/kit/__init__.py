"""What `make kit` packs, installed where there is nothing and no network."""
