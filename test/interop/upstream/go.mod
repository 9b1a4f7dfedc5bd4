module fastify-claw/interop/upstream

go 1.25

require github.com/coder/websocket v1.8.15
