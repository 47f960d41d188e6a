# The image has the binary, the C library, and the certificates of public authorities. No shell, no package manager.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /weir
COPY . .
# Names of functions stay, for the traces of a crash; line numbers would be most of the image.
RUN cargo build --locked --release --package edge --features otlp --bin weir --config 'profile.release.debug=false'

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Weir" \
      org.opencontainers.image.description="A Redis Streams event broker with thin edges" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /weir/target/release/weir /usr/local/bin/weir
# A container is reached from outside of it; which addresses may is for its network to say.
ENV WEIR_LISTEN=0.0.0.0:7400
EXPOSE 7400
USER nonroot
HEALTHCHECK --interval=5s --timeout=5s --start-period=15s --retries=3 CMD ["/usr/local/bin/weir", "health"]
ENTRYPOINT ["/usr/local/bin/weir"]
CMD ["serve"]
