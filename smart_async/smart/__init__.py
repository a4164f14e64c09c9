"""SMART on FHIR, one protocol subject in each module."""
