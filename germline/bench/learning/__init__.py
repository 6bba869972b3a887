"""Learning against the peers at equal evaluations: `germline bench learning`; see benchmarks/learning.md."""
