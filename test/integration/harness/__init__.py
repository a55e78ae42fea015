"""What the integration tests stand on: real programs, an independent gRPC, scripted peers."""
