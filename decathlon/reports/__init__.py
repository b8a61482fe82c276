"""Reports for people: tables, leaderboards, figures and pages."""
