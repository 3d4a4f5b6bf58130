"""Deployments: services whose scoring processes run on this machine."""
