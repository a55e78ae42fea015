"""The tenant, the application and the vaults of these tests."""

TENANT = "7b0e5c3a-4d6f-4a1b-9c2e-5f8d1a3b6c90"  # the clients take nothing but GUIDs and domains
CLIENT_ID = "c1d2e3f4-5a6b-4c7d-8e9f-0a1b2c3d4e5f"
VAULT, HSM = "sdkvault", "sdkhsm"
