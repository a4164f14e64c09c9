"""SMART on FHIR authorization for asyncio, trio and plain Python."""
