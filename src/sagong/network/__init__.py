"""Packets between pods and services: proxy, DNS, routes, policy."""
