"""The methods of both clients, one module for each resource: `X` sends at once, `AsyncX` awaits."""
