module fastify-claw/interop/peer

go 1.25

require (
	github.com/coder/websocket v1.8.15
	github.com/klauspost/compress v1.20.3
)
