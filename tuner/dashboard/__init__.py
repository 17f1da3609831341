"""`tune dashboard`: one server that shows studies' reports and optuna-dashboard."""
