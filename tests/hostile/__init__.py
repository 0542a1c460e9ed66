"""The lab in a hostile world: what is promised while somebody means harm, and what it costs."""
