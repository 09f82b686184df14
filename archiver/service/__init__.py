"""What only `archiver run` needs: the daemon, its self-monitoring, and those it tells."""
