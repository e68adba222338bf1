"""Mixed load for as long as it is told to: nothing may grow, nothing may go wrong. `make soak ARGS="--minutes 60"`."""
