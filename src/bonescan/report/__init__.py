"""Outputs of a result: picture, table, label pictures, JSON, and pages."""
