"""The tests: one folder per room of the product. README.md says what is where and how to run one."""
