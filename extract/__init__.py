"""Stage one: media files go through the frozen backbones once, into the feature store."""
