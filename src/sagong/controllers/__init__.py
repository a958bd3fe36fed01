"""One file a controller, all of one shape; table.py lists them. They reach the API through ctl
and client only."""
