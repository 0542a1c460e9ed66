"""The lab on Docker Swarm: two engines of this machine as two nodes, of which one dies."""
