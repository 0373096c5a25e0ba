"""The SDK of Amends: write a participant, start a saga, test both."""
