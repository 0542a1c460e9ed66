"""unit: no network; contract: servers as local processes; stack: the containers."""
