"""The feature store: the one thing that both stages share. Only here is Zarr known."""
