"""Published checkpoints: key maps, one file per upstream, and loading."""
