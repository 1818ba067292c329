"""Consent: who allowed what, for which purposes, until when; asked at every door."""
