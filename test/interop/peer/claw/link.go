package claw

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/coder/websocket"
)

// Error is an outcome with a code of section 6.
type Error struct {
	Code uint16 `json:"code"`
	Text string `json:"text"`
}

func (e *Error) Error() string { return e.Text }

// Options of a peer, the same for both roles.
type Options struct {
	Compression uint8 // of every payload sent, however small
	Packing     bool  // asked for, or granted
}

// link is one connection: frames over a byte stream (sections 1 and 3.1).
type link struct {
	rw     io.ReadWriteCloser
	in     *bufio.Reader
	mu     sync.Mutex
	packed atomic.Bool // agreed: from here on everything is read packed, as Go does (D6)
	opt    Options
	seen   [4]atomic.Int64 // payloads received, by compression
	over   chan struct{}
	once   sync.Once
}

func newLink(rw io.ReadWriteCloser, opt Options) *link {
	return &link{rw: rw, in: bufio.NewReader(rw), opt: opt, over: make(chan struct{})}
}

// send writes one frame in one write. Open and OpenAck are never packed (D6).
func (l *link) send(m *Msg) error {
	frame := Encode(m, false)
	if l.packed.Load() && m.Type != TOpen && m.Type != TOpenAck {
		frame, _ = Pack(frame)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.rw.Write(frame)
	return err
}

func (l *link) read() (*Msg, error) {
	frame, err := l.readFrame()
	if err != nil {
		return nil, err
	}
	m := &Msg{}
	return m, Decode(frame, m)
}

func (l *link) readFrame() ([]byte, error) {
	word, err := l.in.Peek(8) // the size, and only then, packed or not: the agreement may come with the frame before
	if err != nil {
		return nil, err
	}
	if !l.packed.Load() {
		size, err := FrameSize(word)
		if err != nil {
			return nil, fmt.Errorf("plain frame expected, got %x: %w", word, err)
		}
		frame := make([]byte, size)
		_, err = io.ReadFull(l.in, frame)
		return frame, err
	}
	head, err := l.in.Peek(packHeader)
	if err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	_, packed, err := packSizes(head)
	if err != nil {
		return nil, fmt.Errorf("packed frame expected, got %x: %w", head, err)
	}
	block := make([]byte, packHeader+packed)
	if _, err := io.ReadFull(l.in, block); err != nil {
		return nil, err
	}
	return Unpack(block)
}

// payload makes a payload; with a compression set, its number stands on empty ones too.
func (l *link) payload(session, req uint32, b []byte, end bool) (*Msg, error) {
	if len(b) > MaxPayload {
		return nil, &Error{ResourceExhausted, "message size exceeds limit"}
	}
	p := &Payload{SessionID: session, ReqID: req, EndStream: end, Compression: l.opt.Compression}
	var err error
	if len(b) > 0 {
		p.Payload, err = compress(p.Compression, b)
	}
	return &Msg{Type: TPayload, Payload: p}, err
}

// inflate takes the compression away. What cannot be read or is too large disappears (D17), but not unheard of.
func (l *link) inflate(p *Payload) bool {
	if len(p.Payload) > 0 {
		raw, err := decompress(p.Compression, p.Payload)
		if err != nil || len(raw) > MaxPayload {
			Logf("payload dropped: %d bytes, %v", len(raw), err)
			return false
		}
		p.Payload = raw
		l.seen[p.Compression].Add(1)
	}
	return true
}

func (l *link) close() {
	l.once.Do(func() { close(l.over) })
	l.rw.Close()
}

// Seen tells how many payloads with content came in with a compression.
func (l *link) Seen(compression uint8) int64 { return l.seen[compression].Load() }

// Logf writes what is nobody's result; a variable for programs.
var Logf = func(format string, args ...any) {}

// Dial connects to tcp://host:port or ws://host:port/path.
func Dial(ctx context.Context, address string) (io.ReadWriteCloser, error) {
	if host, isTCP := strings.CutPrefix(address, "tcp://"); isTCP {
		return (&net.Dialer{}).DialContext(ctx, "tcp", host)
	}
	ws, _, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		return nil, err
	}
	return stream(ws), nil
}

// Listen serves connections over TCP and, as ws://host:port/rpc, over WebSocket; answers the two addresses.
func (s *Server) Listen() (tcp, ws string, err error) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	go func() {
		for {
			conn, err := raw.Accept()
			if err != nil {
				return
			}
			go s.Serve(conn)
		}
	}()
	go http.Serve(web, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if socket, err := websocket.Accept(w, r, nil); err == nil {
			s.Serve(stream(socket))
		}
	}))
	return "tcp://" + raw.Addr().String(), "ws://" + web.Addr().String() + "/rpc", nil
}

// stream makes a WebSocket what section 8 asks for: a byte stream over binary messages.
func stream(ws *websocket.Conn) net.Conn {
	conn := websocket.NetConn(context.Background(), ws, websocket.MessageBinary)
	ws.SetReadLimit(-1)
	return conn
}
