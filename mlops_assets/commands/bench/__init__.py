"""What the project adds to the work itself: every figure beside a floor or a peer, as a ratio."""
