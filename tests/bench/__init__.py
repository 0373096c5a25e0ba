"""The judges of the benchmark are judged: what is planted wrong is found wrong."""
