"""The RDM side of the bridge: requests in LinkAhead become jobs, results come back exactly once."""
