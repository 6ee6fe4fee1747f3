"""The sensor as an operator: MTF blur, decimation at a real phase, interpolation, continuation, registration."""
