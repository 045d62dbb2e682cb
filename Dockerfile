# Static binaries and nothing else: `make images` builds them first.
FROM scratch
COPY bin/mailnode bin/mailctl /
ENTRYPOINT ["/mailnode"]
