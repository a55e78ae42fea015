"""The base of the integration tests: real programs, an independent gRPC, scripted peers."""
