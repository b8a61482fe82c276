"""What people look at: tables, leaderboards, figures and pages."""
