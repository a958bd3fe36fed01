"""Volume sources, one file each."""
